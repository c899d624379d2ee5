"""Scripts for earlier releases do what they always did, over the real wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from batchata import Batch, BatchRun, Citation, Job, JobResult, ValidationError
from batchata.core import BatchParams
from batchata.gateway import Sandbox, Scenario

GPT = "gpt-6-luna"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


@pytest.fixture(autouse=True)
def _vendors(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendors' own environment variables, and nothing else, lead to the sandbox."""
    shared.set_scenario(Scenario())
    shared.reset()
    monkeypatch.setenv("OPENAI_BASE_URL", shared.openai_base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", shared.anthropic_base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")


def a_batch(folder: Path, jobs: int = 3) -> Batch:
    """The chain of the earlier releases' first page."""
    batch = (
        Batch(results_dir=str(folder / "output"), max_parallel_batches=5, items_per_batch=2)
        .set_state(file=str(folder / "state.json"), reuse_state=False)
        .set_default_params(model=GPT, max_tokens=100)
        .add_cost_limit(usd=5.0)
        .add_time_limit(minutes=10)
        .set_verbosity("warn")
    )
    for number in range(jobs):
        batch.add_job(messages=[{"role": "user", "content": f"question {number}"}])
    return batch


def test_the_first_page_runs(tmp_path: Path) -> None:
    run = a_batch(tmp_path).run()

    results = run.results()
    assert len(results["completed"]) == 3
    assert results["failed"] == results["cancelled"] == []
    for each in results["completed"]:
        assert each.is_success
        assert each.total_tokens == each.input_tokens + each.output_tokens
        assert each.raw_response


def test_a_run_may_be_made_of_its_parameters_and_jobs(tmp_path: Path) -> None:
    state, out = str(tmp_path / "out" / "state.db"), str(tmp_path / "out")
    params = BatchParams(state, out, 5, items_per_batch=2, cost_limit_usd=0.5)  # type: ignore[arg-type]

    run = BatchRun(params, [Job("a", GPT, prompt="q"), Job("b", GPT, prompt="r")])
    run.execute()

    assert run.results().keys() == {"a", "b"}
    assert run.cost_tracker.limit_usd == Decimal("0.5")
    assert (tmp_path / "out" / "a.json").is_file()


def test_a_run_has_the_known_attributes(tmp_path: Path) -> None:
    run = a_batch(tmp_path).run()

    assert (run.results_dir, run.raw_files_dir) == (
        tmp_path / "output",
        tmp_path / "output" / "raw_files",
    )
    assert run.pending_jobs == []
    assert {job.messages[0]["content"] for job in run.jobs.values()} == {
        f"question {number}" for number in range(3)
    }
    assert run.jobs.keys() == run.results().keys()
    assert run.state_manager.load() is not None
    assert (run.current_batch_index, run.current_batch_size) == (2, 0)
    assert (run.total_batches, run.completed_batches) == (2, 2)


def test_how_jobs_ended_is_told_by_the_known_names(tmp_path: Path) -> None:
    batch = a_batch(tmp_path, jobs=1)
    batch.add_job(id="unread", prompt="read", file="/nowhere/a.txt")
    batch.add_cost_limit(usd=0.01).add_job(id="dear", prompt="write", max_tokens=1_000_000)

    run = batch.run()

    (done,) = run.completed_results.values()
    assert done.is_success
    assert run.failed_jobs.keys() == {"unread"}
    assert "/nowhere/a.txt" in run.failed_jobs["unread"]
    assert run.get_failed_jobs().keys() == {"unread", "dear"}
    assert "limit" in run.get_failed_jobs()["dear"]
    assert run.cancelled_jobs == {}


@pytest.mark.parametrize(
    "bad",
    [
        {"max_parallel_batches": 0},
        {"items_per_batch": -1},
        {"cost_limit_usd": -1},
        {"time_limit_seconds": "long"},
    ],
)
def test_parameters_that_no_run_can_have_are_refused(bad: dict[str, Any]) -> None:
    (value,) = bad.values()
    with pytest.raises(ValidationError, match=repr(value)):
        BatchParams(**bad)


def test_each_result_has_a_file_that_reads_back(tmp_path: Path) -> None:
    run = a_batch(tmp_path).add_job(prompt="who?", response_model=Person).run()

    for each in run.results()["completed"]:
        data = json.loads((tmp_path / "output" / f"{each.job_id}.json").read_text())
        assert {
            "job_id",
            "raw_response",
            "parsed_response",
            "citations",
            "citation_mappings",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "error",
            "batch_id",
        } <= data.keys()
        assert JobResult.from_dict(data).raw_response == each.raw_response
    parsed = [each.parsed_response for each in run.results()["completed"]]
    assert any(isinstance(each, Person) for each in parsed)


def test_status_has_the_known_keys(tmp_path: Path) -> None:
    batch = a_batch(tmp_path)
    assert len(batch) == 3

    status = batch.run().status()

    assert {
        "total",
        "pending",
        "active",
        "completed",
        "failed",
        "cancelled",
        "cost_usd",
        "cost_limit_usd",
        "is_complete",
        "batches_total",
        "batches_completed",
        "batches_pending",
        "current_batch_index",
        "current_batch_size",
        "items_per_batch",
    } <= status.keys()
    assert (status["total"], status["completed"], status["pending"]) == (3, 3, 0)
    assert status["is_complete"] is True
    assert (status["batches_total"], status["batches_completed"]) == (2, 2)


def test_progress_is_called_with_its_three_values_and_at_the_end(tmp_path: Path) -> None:
    calls: list[tuple[dict[str, Any], float, dict[str, Any]]] = []

    a_batch(tmp_path).run(on_progress=lambda *values: calls.append(values), progress_interval=0)

    stats, elapsed, batches = calls[-1]
    assert stats["completed"] == 3
    assert elapsed >= 0
    for each in batches.values():
        assert {
            "start_time",
            "status",
            "total",
            "completed",
            "failed",
            "cost",
            "estimated_cost",
            "provider",
            "completion_time",
        } <= each.keys()
        assert each["status"] == "complete"


def test_an_error_in_the_callback_does_not_touch_the_run(tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("my callback's fault")

    run = a_batch(tmp_path).run(on_progress=broken)

    assert len(run.results()["completed"]) == 3


def test_a_dry_run_sends_and_writes_nothing(tmp_path: Path, shared: Sandbox) -> None:
    a_batch(tmp_path).run(dry_run=True)

    assert shared.requests == []
    assert list(tmp_path.iterdir()) == []


def test_reuse_state_goes_on_from_the_file(tmp_path: Path, shared: Sandbox) -> None:
    a_batch(tmp_path).run()

    again = a_batch(tmp_path, jobs=4).set_state(str(tmp_path / "state.json"), reuse_state=True)
    run = again.run()

    assert len(run.results()["completed"]) == 4
    assert shared.ledger.billed_items == 4


def test_raw_files_lie_where_they_lay(tmp_path: Path) -> None:
    run = a_batch(tmp_path, jobs=2).raw_files(True).run()

    batch_id = run.results()["completed"][0].batch_id
    raw = tmp_path / "output" / "raw_files"
    assert (raw / "requests" / f"openai_batch_{batch_id}.jsonl").is_file()
    assert (raw / "responses" / f"openai_batch_{batch_id}.jsonl").is_file()


def test_over_the_cost_limit_says_the_known_words(tmp_path: Path) -> None:
    run = a_batch(tmp_path).add_cost_limit(usd=0.0000001).run()

    (first, *_) = run.results()["skipped"]
    assert "Cost limit exceeded" in str(first.error)


HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"messages": HI, "prompt": "x"}, "Provide either messages OR file\\+prompt, not both"),
        ({"messages": HI, "file": "a.pdf"}, "Provide either messages OR file\\+prompt, not both"),
        ({"file": "a.pdf"}, "File input requires a prompt"),
        ({}, "Must provide either messages or prompt"),
    ],
)
def test_the_four_value_errors_of_a_job(question: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Job(id="a", model=GPT, **question)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: Batch("out", max_parallel_batches=0),
        lambda: Batch("out", items_per_batch=0),
        lambda: Batch("out").add_cost_limit(0),
        lambda: Batch("out").add_time_limit(),
        lambda: Batch("out").set_verbosity("loud"),
        lambda: Batch("out").run(),
        lambda: Batch("out").add_job(prompt="x", model="no-such-vendor"),
    ],
)
def test_mistakes_are_value_errors(mistake: Any) -> None:
    with pytest.raises(ValueError):
        mistake()


def test_a_job_reads_back_from_its_dictionary() -> None:
    job = Job(id="a", model=GPT, file=Path("a.pdf"), prompt="x", temperature=0.5, max_tokens=7)

    again = Job.from_dict(json.loads(json.dumps(job.to_dict())))

    assert again.to_dict() == job.to_dict()


def test_a_result_with_citations_reads_back(tmp_path: Path) -> None:
    cited = Citation(text="t", source="s", page=2, metadata={"a": 1}, confidence="high")
    result = JobResult("a", "x", citations=[cited], citation_mappings={"f": [cited]})

    result.save_to_json(str(tmp_path / "deep" / "a.json"), indent=4)

    data = json.loads((tmp_path / "deep" / "a.json").read_text())
    assert JobResult.from_dict(data) == result
