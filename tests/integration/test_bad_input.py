"""Input that cannot be used: a clear error of ours, nothing lost, nothing overwritten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_lab import CLAUDE, GPT, Lab, all_of, wait_until

from batchata import Batch, BatchataError, BatchRun, Job, Reason
from batchata.core.errors import (
    DuplicateJobError,
    MissingKeyError,
    ResultsError,
    StateError,
    StateLockedError,
    StateVersionError,
    UnknownModelError,
    ValidationError,
)
from batchata.gateway import Scenario
from batchata.stores import schema


def fake_sqlite(path: Path, *, application: int = 0, version: int = 0) -> None:
    """An SQLite file of somebody else's."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.execute(f"PRAGMA application_id={application}")
    db.execute(f"PRAGMA user_version={version}")
    db.commit()
    db.close()


def test_an_empty_batch_says_what_to_write(lab: Lab) -> None:
    with pytest.raises(ValidationError, match="No jobs") as caught:
        lab.batch().run()

    assert "add_job" in str(caught.value.hint)
    assert list(lab.folder.iterdir()) == []


def test_a_generator_without_jobs_is_an_empty_batch(lab: Lab) -> None:
    batch = lab.batch().set_default_params(model=GPT).add_jobs(job for job in ())

    with pytest.raises(ValidationError, match="No jobs"):
        batch.run()


BAD_CALLS: dict[str, tuple[Callable[[Batch], Any], type[BatchataError], str]] = {
    "two ids": (
        lambda batch: batch.add_job(prompt="a", id="x").add_job(prompt="b", id="x"),
        DuplicateJobError,
        "'x'",
    ),
    "messages and file": (
        lambda batch: batch.add_job([{"role": "user", "content": "q"}], file="a.pdf", prompt="p"),
        ValidationError,
        "either messages OR file",
    ),
    "file alone": (lambda batch: batch.add_job(file="a.pdf"), ValidationError, "prompt"),
    "nothing": (lambda batch: batch.add_job(), ValidationError, "messages or prompt"),
    "parameter type": (
        lambda batch: batch.add_job(prompt="q", tools=print),
        ValidationError,
        "tools",
    ),
    "temperature": (
        lambda batch: batch.add_job(prompt="q", temperature="hot"),
        ValidationError,
        "temperature",
    ),
    "max_tokens": (
        lambda batch: batch.add_job(prompt="q", max_tokens=0),
        ValidationError,
        "max_tokens",
    ),
    "response model": (
        lambda batch: batch.add_job(prompt="q", response_model=dict),
        ValidationError,
        "response_model",
    ),
    "model": (lambda batch: batch.add_job(prompt="q", model="odd"), UnknownModelError, "odd"),
    "cost limit": (lambda batch: batch.add_cost_limit(0), ValidationError, "positive"),
    "time limit": (lambda batch: batch.add_time_limit(), ValidationError, "positive"),
    "provider": (lambda batch: batch.set_provider("nobody"), ValidationError, "nobody"),
    "a share of nan": (lambda b: b.add_pilot(share=float("nan")), ValidationError, "nan"),
    "endless time": (lambda b: b.finish_within(hours=float("inf")), ValidationError, "inf"),
    "metadata": (lambda b: b.add_job(prompt="q", metadata=5), ValidationError, "metadata is 5"),
    "schema": (lambda b: b.add_job(prompt="q", response_schema="x"), ValidationError, "not a map"),
    "endpoint": (lambda b: b.add_job(prompt="q", endpoint=["chat"]), ValidationError, "endpoint"),
    "list of models": (lambda b: b.add_job(prompt="q", model=[GPT]), ValidationError, "model is"),
    "id of a Job": (lambda b: b.add_jobs([Job(7, GPT, prompt="q")]), ValidationError, "id is 7"),
    "price": (lambda b: b.set_prices({GPT: 5}), ValidationError, "price of .* is 5"),
    "prices": (lambda b: b.set_prices("cheap"), ValidationError, "prices is 'cheap'"),
    "queue limits": (lambda b: b.set_queue_limits([1]), ValidationError, r"is \[1\], not a map"),
    "a flag": (lambda b: b.raw_files("no"), ValidationError, "raw_files is 'no'"),
    "a decision": (lambda b: b.add_pilot(jobs=1, decide=5), ValidationError, "decide is 5"),
    "a callback": (
        lambda b: b.add_job(prompt="q").run(on_progress=5),
        ValidationError,
        "on_progress is 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "says"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_a_bad_call_is_refused_at_once_with_a_hint(
    lab: Lab, call: Callable[[Batch], Any], kind: type[BatchataError], says: str
) -> None:
    batch = lab.batch().set_default_params(model=GPT)

    with pytest.raises(kind, match=says) as caught:
        call(batch)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"promt": "a slip"}, "Must provide either messages or prompt"),
        ({"prompt": "hot", "temperature": 9}, "temperature is 9"),
        ({"prompt": "nothing", "temperature": float("nan")}, "temperature is nan"),
        ({"prompt": None, "metadata": {"row": 7}}, "Must provide either messages or prompt"),
    ],
)
def test_a_bad_job_from_a_generator_fails_alone(lab: Lab, bad: dict[str, Any], said: str) -> None:
    jobs: list[dict[str, Any]] = [{"prompt": "one"}, {**bad, "id": "bad"}, {"prompt": "two"}]
    batch = lab.batch().set_default_params(model=GPT).add_jobs(job for job in jobs)

    results = batch.run().results()

    assert [said in (each.error or "") for each in results.failed] == [True]
    assert results["bad"].reason is Reason.BAD_INPUT
    assert results["bad"].metadata == bad.get("metadata")
    assert len(results.completed) == lab.ledger.billed_items == 2


def test_a_second_job_of_an_id_from_a_generator_stops_the_run_before_anything_is_sent(
    lab: Lab,
) -> None:
    batch = lab.batch().set_default_params(model=GPT)
    batch.add_jobs({"prompt": f"{n}", "id": "same"} for n in range(2))

    with pytest.raises(DuplicateJobError, match="same"):
        batch.run()

    assert lab.ledger.batches == []


def test_one_bad_job_among_many_fails_alone(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    batch = lab.chat(20)
    batch.add_job(file=tmp_path / "gone.pdf", prompt="read", id="gone")
    batch.add_job(file=tmp_path / "empty.txt", prompt="read", id="empty")
    batch.add_job(prompt="q", id="hot", model="claude-opus-5-5", temperature=0.5)
    batch.add_job(prompt="q \ud800", id="surrogate")
    batch.add_job(prompt="q", id="stream", stream=True)
    batch.add_job(prompt="q", id="object", tools=[object()])
    batch.add_job(prompt="q", id="odd", metadata={"n": object()})

    run = batch.run()

    results = all_of(run)
    bad = {"gone", "empty", "hot", "surrogate", "stream", "object", "odd"}
    assert {job_id for job_id, result in results.items() if not result.is_success} == bad
    assert {results[job_id].reason for job_id in bad} == {Reason.BAD_INPUT}
    assert "gone.pdf" in (results["gone"].error or "")
    assert "metadata" in (results["odd"].error or "")
    assert run.status()["completed"] == 20


def test_bad_jobs_alone_make_a_run_without_a_vendor(lab: Lab, tmp_path: Path) -> None:
    batch = lab.batch().add_job(file=tmp_path / "gone", prompt="p", model=GPT, metadata={"n": 1})

    run = batch.run()

    (failed,) = run.results().failed
    assert failed.metadata == {"n": 1}
    assert lab.box.requests == []


def test_a_mended_bad_job_runs_in_the_next_run(lab: Lab, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"

    def script() -> Batch:
        return lab.batch().add_job(file=note, prompt="read", id="a", model=CLAUDE)

    first = script().run().results()["a"]
    note.write_text("words")
    second = script().run().results()["a"]

    assert (first.is_success, second.is_success) == (False, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"jobs": []}', "JSON"),
        (b"[1, 2]", "JSON"),
        (b"plain words, longer than a header of an SQLite file would be, and then some", "not a"),
        (b"\x89PNG", "not a"),
    ],
)
def test_a_file_that_is_no_state_is_refused_and_left_as_it_is(
    lab: Lab, content: bytes, says: str
) -> None:
    path = lab.folder / "state.json"
    path.write_bytes(content)

    with pytest.raises(StateError, match=says) as caught:
        lab.chat(2).set_state(path).run()

    assert caught.value.hint
    assert path.read_bytes() == content
    assert lab.ledger.batches == []


def test_a_database_of_another_program_is_refused_and_left_as_it_is(lab: Lab) -> None:
    path = lab.folder / "theirs.db"
    fake_sqlite(path)
    before = path.read_bytes()

    with pytest.raises(StateError) as caught:
        lab.chat(2).set_state(path).run()

    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_database_with_another_programs_mark_is_refused(lab: Lab) -> None:
    path = lab.folder / "theirs.db"
    fake_sqlite(path, application=0x12345678, version=3)

    with pytest.raises(StateError, match="another program"):
        lab.chat(2).set_state(path).run()


def test_a_state_of_a_newer_version_is_refused_and_named(lab: Lab) -> None:
    path = lab.folder / "state.db"
    fake_sqlite(path, application=schema.APPLICATION_ID, version=schema.VERSION + 1)

    with pytest.raises(StateVersionError, match=str(schema.VERSION + 1)) as caught:
        lab.chat(2).set_state(path).run()

    assert "update" in str(caught.value.hint)


def test_a_torn_state_file_is_refused_with_what_to_do(lab: Lab) -> None:
    lab.chat(20).run()
    data = lab.state_file.read_bytes()
    lab.state_file.write_bytes(data[:4096] + bytes(len(data) - 4096))

    with pytest.raises(StateError) as caught:
        lab.chat(20).run()

    assert caught.value.hint
    assert lab.ledger.billed_items == 20


def test_a_json_state_of_an_earlier_release_is_told_how_to_be_read(lab: Lab) -> None:
    (lab.folder / "state.json").write_text('{"created_at": "2025-08-01", "pending_jobs": []}')

    with pytest.raises(StateError, match="is a JSON file") as caught:
        lab.chat(1).set_state(lab.folder / "state.json").run()

    assert "StateManager.import_legacy(" in str(caught.value.hint)


def test_an_empty_file_is_taken_as_a_new_state(lab: Lab) -> None:
    path = lab.folder / "state.db"
    path.touch()

    assert lab.chat(2).set_state(path).run().status()["completed"] == 2


def test_a_folder_where_the_state_should_be_is_named(lab: Lab) -> None:
    with pytest.raises(StateError, match="folder"):
        lab.chat(2).set_state(lab.folder).run()


def test_a_state_file_in_the_results_folder_needs_no_folder_made_first(lab: Lab) -> None:
    batch = Batch(lab.out, items_per_batch=2).set_state(lab.out / "mine.db")
    lab.connect(batch).add_job(prompt="q", model=GPT).run()

    assert (lab.out / "mine.db").is_file()


def test_attaching_to_a_file_that_is_not_there_makes_none(lab: Lab) -> None:
    with pytest.raises(StateError, match="there is no state file"):
        BatchRun.attach(lab.folder / "tpyo.db")

    assert list(lab.folder.iterdir()) == []


def test_a_file_where_the_results_folder_should_be_is_named(lab: Lab) -> None:
    lab.out.touch()

    with pytest.raises(ResultsError, match="out") as caught:
        lab.chat(1).run()

    assert "that is a file" in str(caught.value.hint)


def test_a_state_file_in_a_folder_that_is_not_there_is_named(lab: Lab) -> None:
    with pytest.raises(StateError, match="does not exist") as caught:
        lab.chat(2).set_state(lab.folder / "no" / "state.db").run()

    assert "mkdir" in str(caught.value.hint)


def test_a_second_run_on_a_state_file_in_use_names_the_first(lab: Lab) -> None:
    lab.play(scenario=Scenario(latency_seconds=3_600))
    first = lab.chat(5).start()
    wait_until(lambda: bool(lab.ledger.batches))

    with pytest.raises(StateLockedError, match="process"):
        lab.chat(5).run()

    lab.play(scenario=Scenario(clock_skew_seconds=3_601))
    assert first.wait(timeout=60)
    assert lab.ledger.billed_items == 5


@pytest.mark.parametrize(
    ("model", "variable"), [(GPT, "OPENAI_API_KEY"), (CLAUDE, "ANTHROPIC_API_KEY")]
)
def test_a_missing_key_names_its_variable_and_loses_nothing(
    lab: Lab, model: str, variable: str
) -> None:
    batch = Batch(lab.out).add_job(prompt="q", id="a", model=model)

    with pytest.raises(MissingKeyError, match=variable) as caught:
        batch.run()

    again = lab.batch().add_job(prompt="q", id="a", model=model).run()
    assert variable in str(caught.value.hint)
    assert again.status()["completed"] == 1


def test_a_check_names_every_bad_file_at_once_and_sends_nothing(lab: Lab, tmp_path: Path) -> None:
    for folder in ("may", "june"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bill.pdf").touch()
    batch = lab.batch().set_default_params(model=GPT).add_job(prompt="a good one")
    for source in ("may/bill.pdf", "june/bill.pdf", "lost.pdf"):
        batch.add_job(id=source[:4], file=tmp_path / source, prompt="What does it cost?")

    with pytest.raises(ValidationError) as caught:
        batch.check()

    said = caught.value.message
    assert said.startswith("3 jobs cannot be sent:\n- job 'may/'")
    for source in ("may/bill.pdf", "june/bill.pdf", "lost.pdf"):
        assert str(tmp_path / source) in said
    assert lab.box.requests == []


def test_a_batch_whose_files_are_good_goes_on_after_its_check(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("It was delivered on Tuesday.")
    batch = lab.batch().set_default_params(model=GPT)
    batch.add_job(file=tmp_path / "notes.txt", prompt="When?")

    run = batch.check().run()

    assert run.status()["completed"] == 1


def test_a_bad_file_is_told_by_its_whole_path_where_only_one_has_its_name(
    lab: Lab, tmp_path: Path
) -> None:
    for folder in ("may", "june"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "bill.pdf").touch()
    may, june = (tmp_path / folder / "bill.pdf" for folder in ("may", "june"))
    batch = lab.batch().set_default_params(model=GPT)
    batch.add_job(id="one", file=may, prompt="What does it cost?")
    batch.add_job(id="both", files=[may, june], prompt="What do they cost?")

    results = batch.run().results()

    assert str(results["one"].error).startswith(f"{may}: 'bill.pdf' is empty")
    assert str(results["both"].error).startswith("'bill.pdf' is empty")
