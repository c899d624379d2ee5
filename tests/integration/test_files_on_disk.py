"""What lies in the results folder after a run, to the name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, field_serializer
from run_lab import CLAUDE, GPT, MODELS, Lab, all_of

from batchata import JobResult
from batchata.core.errors import ResultsError
from batchata.engine import raw_calls
from batchata.gateway import HttpFault, Scenario
from batchata.sinks import outcomes


def tree(folder: Path) -> set[str]:
    """Files below a folder, named from it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def lines_of(path: Path) -> list[bytes]:
    """The lines of a file, split at newlines only."""
    return [line for line in path.read_bytes().split(b"\n") if line]


def test_the_results_folder_holds_results_state_and_raw_files(lab: Lab) -> None:
    batch = lab.batch().add_job(prompt="one", id="a", model=GPT)
    batch.add_job(prompt="two", id="b", model=CLAUDE)

    run = batch.run()

    gpt, claude = (run.results()[job_id].batch_id for job_id in "ab")
    assert tree(lab.out) == {
        "a.json",
        "b.json",
        "state.db",
        f"raw_files/requests/openai_batch_{gpt}.jsonl",
        f"raw_files/requests/anthropic_batch_{claude}.json",
        f"raw_files/responses/openai_batch_{gpt}.jsonl",
        f"raw_files/responses/anthropic_batch_{claude}.jsonl",
    }


def test_raw_requests_are_what_was_sent(lab: Lab) -> None:
    lab.chat(3).run()
    lab.chat(3, CLAUDE, results_dir=lab.folder / "claude").run()

    (sent,) = lab.out.glob("raw_files/requests/*.jsonl")
    (posted,) = lab.folder.glob("claude/raw_files/requests/*.json")
    lines = [orjson.loads(line) for line in sent.read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == ["q0", "q1", "q2"]
    requests = orjson.loads(posted.read_bytes())["requests"]
    assert [each["params"]["messages"][0]["content"] for each in requests] == [
        f"question {n}" for n in range(3)
    ]


def test_the_vendors_error_file_is_kept_apart(lab: Lab) -> None:
    lab.play("item-invalid")

    lab.chat(30, items_per_batch=None).run()

    (path,) = lab.out.glob("raw_files/errors/openai_batch_*_errors.jsonl")
    assert all(orjson.loads(line)["response"]["status_code"] == 400 for line in lines_of(path))


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_without_raw_files_only_results_and_state_are_left(lab: Lab, vendor: str) -> None:
    lab.play("item-invalid")

    lab.chat(12, MODELS[vendor], raw_files=False).run()

    assert tree(lab.out) == {"state.db", *(f"q{n}.json" for n in range(12))}


def test_without_a_results_folder_nothing_is_written_but_the_state(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.folder)

    run = lab.chat(5, results_dir=None).set_state("state.db").run()

    assert tree(lab.folder) == {"state.db"}
    assert run.status()["completed"] == 5


def test_without_any_path_the_results_are_there_all_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.folder)

    results = lab.chat(5, results_dir=None).run().results()

    assert len(results.completed) == 5
    assert tree(lab.folder) == set()


def test_each_job_has_its_json_file(lab: Lab) -> None:
    lab.play("item-invalid,missing-ids")

    run = lab.chat(30).run()

    for job_id, result in all_of(run).items():
        path = lab.out / f"{job_id}.json"
        assert JobResult.from_dict(orjson.loads(path.read_bytes())) == result


def test_one_jsonl_file_holds_every_result_once(lab: Lab) -> None:
    lab.play("item-invalid,item-errors")

    run = lab.chat(30, result_format="jsonl").run()

    rows = [orjson.loads(line) for line in lines_of(lab.out / "results.jsonl")]
    found = {row["job_id"]: JobResult.from_dict(row) for row in rows}
    assert len(rows) == 30
    assert found == all_of(run)


def test_a_table_of_parquet_parts_holds_every_result_once(lab: Lab) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")

    run = lab.chat(30, CLAUDE, result_format="parquet").run()

    rows = [
        row
        for path in sorted(lab.out.glob("results-*.parquet"))
        for row in parquet.read_table(path).to_pylist()
    ]
    assert sorted(row["job_id"] for row in rows) == sorted(run.results())
    assert {row["raw_response"] for row in rows} == {
        result.raw_response for result in all_of(run).values()
    }


@pytest.mark.parametrize("result_format", ["json", "jsonl", "parquet"])
def test_a_second_run_adds_its_own_results_and_writes_none_again(
    lab: Lab, result_format: str
) -> None:
    lab.chat(5, result_format=result_format).run()
    before = {path.name: path.read_bytes() for path in lab.out.glob("[qr]*.*")}

    lab.chat(8, result_format=result_format).run()

    after = {path.name: path.read_bytes() for path in lab.out.glob("[qr]*.*")}
    assert all(after[name].startswith(data) for name, data in before.items())
    text = b"".join(after.values())
    if result_format != "parquet":
        assert [text.count(b'"q%d"' % n) for n in range(8)] == [1] * 8


@pytest.mark.parametrize(
    ("result_format", "name"), [("json", "q1.json"), ("jsonl", "results.jsonl")]
)
def test_a_file_of_the_users_is_never_overwritten(lab: Lab, result_format: str, name: str) -> None:
    lab.out.mkdir()
    (lab.out / name).write_text("the user's own words")

    lab.chat(3, result_format=result_format).run()

    kept = [
        path.read_text() for path in lab.out.iterdir() if path.suffix != ".db" and path.is_file()
    ]
    assert "the user's own words" in kept
    assert sum('"job_id": "q1"' in text or '"job_id":"q1"' in text for text in kept) == 1


def test_ids_that_are_no_file_names_get_files_all_the_same(lab: Lab) -> None:
    ids = ["../escape", "a/b", "x" * 300, ".hidden", "c\x00d", "A", "a", "ünï"]
    batch = lab.batch().set_default_params(model=GPT)
    for job_id in ids:
        batch.add_job(prompt=f"q {job_id!r}", id=job_id)

    batch.run()

    files = [orjson.loads(path.read_bytes()) for path in lab.out.glob("*.json")]
    assert sorted(row["job_id"] for row in files) == sorted(ids)
    assert not (lab.folder / "escape.json").exists()


def test_a_file_where_the_folder_should_be_is_an_error_that_names_it(lab: Lab) -> None:
    lab.out.write_text("in the way")

    with pytest.raises(ResultsError, match="out"):
        lab.chat(2).run()

    assert lab.out.read_text() == "in the way"
    assert lab.ledger.batches == []


def calls_of(path: Path) -> list[dict[str, Any]]:
    """The calls of a raw file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("vendor", MODELS)
def test_live_calls_are_kept_as_they_went_out_and_came_back(lab: Lab, vendor: str) -> None:
    refused = HttpFault(action="status", status=503, contains='"question 1"')
    lab.play(scenario=Scenario(http=(refused,)))

    run = lab.chat(4, MODELS[vendor]).set_route("live").run()

    raw = lab.out / "raw_files"
    asked = calls_of(raw / "requests/live_1.jsonl")
    said = calls_of(raw / "responses/live_1.jsonl")
    assert [each["job_id"] for each in asked] == [each["job_id"] for each in said]
    assert sorted(each["job_id"] for each in asked) == ["q0", "q1", "q1", "q2", "q3"]
    assert {each["body"]["messages"][0]["content"] for each in asked} == {
        f"question {number}" for number in range(4)
    }
    assert [each["status"] for each in said if "error" in each] == [503]
    texts = {each["job_id"]: orjson.dumps(each["body"]) for each in said if "body" in each}
    for result in run.results().completed:
        assert orjson.dumps(result.raw_response) in texts[result.job_id]


def test_each_live_run_keeps_its_calls_in_a_file_of_its_own(lab: Lab) -> None:
    lab.chat(2).set_route("live").run()
    lab.chat(3).set_route("live").run()

    lines = [path.read_bytes().count(b"\n") for path in sorted(lab.out.rglob("live_*.jsonl"))]
    assert lines == [2, 1, 2, 1]


def test_live_raw_files_are_cut_into_pieces(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_calls, "_SEGMENT_BYTES", 2000)

    run = lab.chat(30).set_route("live", concurrency=2).run()

    folder = lab.out / "raw_files" / "responses"
    ids = [line["job_id"] for path in folder.iterdir() for line in calls_of(path)]
    assert run.status()["completed"] == 30
    assert sorted(ids) == sorted(f"q{number}" for number in range(30))


def test_an_answer_that_is_no_json_is_kept_as_text() -> None:
    assert raw_calls._readable(b"<html>") == "<html>"
    assert raw_calls._readable(b"\xff") == "\ufffd"
    assert orjson.dumps(raw_calls._readable(b'{\n "a": 1.50,\n "b": 1e400 }')) == (
        b'{"a":1.50,"b":1e400}'
    )


@pytest.mark.parametrize("result_format", ["json", "jsonl", "parquet"])
def test_a_number_beyond_64_bits_is_in_the_files_to_its_last_digit(
    lab: Lab, result_format: Any
) -> None:
    lab.play(scenario=Scenario(replies={"parcel": '{"number": 1180591620717411303424}'}))
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}}
    batch = lab.batch(result_format=result_format).set_default_params(model=GPT)
    batch.add_job(prompt="Which parcel?", response_schema=schema).add_job(prompt="Another one.")

    run = batch.run()

    written = b"".join(path.read_bytes() for path in lab.out.glob("*.json*"))
    if result_format == "parquet":
        rows = pq.read_table(lab.out / "results-00001.parquet").to_pylist()
        written = "".join(str(row["parsed_response"]) for row in rows).encode()
        assert len(rows) == 2
    assert run.results().completed[0].parsed_response == {"number": 2**70}
    assert b"1180591620717411303424" in written


class Shy(BaseModel):
    """An answer whose own serializer fails."""

    mood: str

    @field_serializer("mood")
    def told(self, mood: str) -> str:
        raise LookupError(mood)


@pytest.mark.parametrize("result_format", ["json", "jsonl", "parquet"])
def test_a_model_that_cannot_be_written_takes_no_result_away(lab: Lab, result_format: Any) -> None:
    batch = lab.chat(3, result_format=result_format, dedupe=False)

    run = batch.add_job(prompt="moody", id="shy", model=GPT, response_model=Shy).run()

    mood = run.results()["shy"].parsed_response
    assert run.to_dataframe().shape[0] == 4
    assert run.results()["shy"].to_dict()["parsed_response"] == {"mood": mood.mood}
    if result_format == "jsonl":
        assert len(lines_of(lab.out / "results.jsonl")) == 4
    if result_format == "json":
        assert orjson.loads((lab.out / "shy.json").read_bytes())["parsed_response"]["mood"]


def test_results_that_could_not_be_written_are_written_by_the_next_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> JobResult:
        raise RecursionError("what no one foresaw")

    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "job_result", failing)
        lab.chat(3, result_format="jsonl").run()
    before = lines_of(lab.out / "results.jsonl")

    lab.chat(3, result_format="jsonl").run()

    after = [orjson.loads(line)["job_id"] for line in lines_of(lab.out / "results.jsonl")]
    assert (before, sorted(after)) == ([], ["q0", "q1", "q2"])
    assert lab.ledger.billed_items == 3


def test_a_run_whose_process_goes_to_another_folder_keeps_to_its_own(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = lab.folder / "home", lab.folder / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    batch = lab.chat(3, results_dir="answers")
    (home / "note.txt").write_text("words")
    batch.add_job(prompt="what does it say?", file="note.txt", id="file", model=GPT)

    run = batch.run(on_progress=lambda *_: monkeypatch.chdir(elsewhere), progress_interval=0.001)

    assert len(run.results().completed) == 4
    assert list(elsewhere.iterdir()) == []
    assert {"q0.json", "file.json", "state.db"} <= tree(home / "answers")
