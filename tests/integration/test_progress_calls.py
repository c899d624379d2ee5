"""What `on_progress` is told, and how little it can do to a run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from run_lab import CLAUDE, Lab, wait_until

from batchata.exceptions import RunError
from batchata.gateway import Scenario

SLOW = Scenario(latency_seconds=3_600)
Call = tuple[dict[str, Any], float, dict[str, Any]]
STATS = {
    "total", "pending", "active", "completed", "failed", "cancelled", "cost_usd",
    "cost_limit_usd", "is_complete", "batches_total", "batches_completed", "batches_pending",
    "current_batch_index", "current_batch_size", "items_per_batch",
}  # fmt: skip
BATCH = {"start_time", "status", "total", "completed", "cost", "estimated_cost", "provider"}


def calls_of(lab: Lab, jobs: int = 20, interval: float = 0.0, **settings: Any) -> list[Call]:
    """Everything `on_progress` is called with in a run of so many jobs."""
    calls: list[Call] = []
    batch = lab.chat(jobs, **settings).add_cost_limit(3)
    batch.run(on_progress=lambda *told: calls.append(told), progress_interval=interval)
    return calls


def test_the_last_call_tells_the_end_even_of_a_run_shorter_than_the_interval(lab: Lab) -> None:
    calls = calls_of(lab, interval=60.0)

    stats, elapsed, batches = calls[-1]
    assert (stats["completed"], stats["pending"], stats["is_complete"]) == (20, 0, True)
    assert stats["cost_usd"] == lab.billed_usd
    assert stats["cost_limit_usd"] == Decimal(3)
    assert elapsed > 0
    assert [each["status"] for each in batches.values()] == ["complete", "complete"]


def test_every_call_has_the_keys_that_callbacks_know(lab: Lab) -> None:
    lab.play(scenario=SLOW)
    calls: list[Call] = []

    def told(*told: Any) -> None:
        calls.append(told)
        if len(calls) == 3:
            lab.play(scenario=Scenario(latency_seconds=0, clock_skew_seconds=3_601))

    lab.chat(20).add_cost_limit(3).run(on_progress=told, progress_interval=0.0)

    assert len(calls) > 2
    for stats, elapsed, batches in calls:
        assert set(stats) >= STATS
        assert isinstance(elapsed, float)
        assert all(set(each) >= BATCH for each in batches.values())


def test_a_batch_names_its_jobs_as_the_script_gave_them(lab: Lab) -> None:
    found: list[list[tuple[str, str]]] = []

    def told(stats: dict[str, Any], elapsed: float, batches: dict[str, Any]) -> None:
        found.append([(job.id, job.prompt) for each in batches.values() for job in each["jobs"]])

    run = lab.chat(20).run(on_progress=told, progress_interval=0.0)

    asked = sorted((job_id, job.prompt) for job_id, job in run.jobs.items())
    assert sorted(found[-1]) == asked
    assert len(asked) == 20
    assert [len(each["jobs"]) for each in run.batch_tracking.values()] == [10, 10]


def test_jobs_of_a_generator_are_not_kept(lab: Lab) -> None:
    calls: list[Call] = []
    batch = lab.batch().add_jobs({"id": f"q{n}", "model": CLAUDE, "prompt": "?"} for n in range(2))

    run = batch.run(on_progress=lambda *told: calls.append(told))

    assert all("jobs" not in each for each in calls[-1][2].values())
    with pytest.raises(RunError, match="generator"):
        run.jobs  # noqa: B018


def test_numbers_only_grow_and_always_add_up(lab: Lab) -> None:
    lab.play("shuffled", Scenario(latency_seconds=0.3))

    calls = calls_of(lab, jobs=30, max_parallel_batches=2)

    done = [stats["completed"] + stats["failed"] for stats, _, _ in calls]
    assert done == sorted(done)
    assert all(stats["total"] == 30 for stats, _, _ in calls)
    assert all(stats["pending"] + n == 30 for (stats, _, _), n in zip(calls, done, strict=True))
    assert [elapsed for _, elapsed, _ in calls] == sorted(elapsed for _, elapsed, _ in calls)


def test_how_far_a_vendor_is_shows_before_any_answer_is_here(lab: Lab) -> None:
    lab.play(scenario=SLOW)
    seen: list[int] = []

    def told(stats: dict[str, Any], elapsed: float, batches: dict[str, Any]) -> None:
        seen.extend(each["completed"] for each in batches.values())
        if any(0 < count < 40 for count in seen):
            lab.play(scenario=Scenario(clock_skew_seconds=3_601))
        elif lab.ledger.batches:  # half the time has passed
            lab.play(scenario=Scenario(clock_skew_seconds=1_800))

    run = lab.chat(40, items_per_batch=None).run(on_progress=told, progress_interval=0.0)

    assert run.status()["completed"] == 40
    assert any(0 < count < 40 for count in seen)


def test_an_exception_in_the_callback_does_not_touch_the_run(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*told: Any) -> None:
        raise ZeroDivisionError("my callback bug")

    run = lab.chat(12, CLAUDE).run(on_progress=broken, progress_interval=0.0)

    assert run.status()["completed"] == 12
    assert "my callback bug" in caplog.text


def test_a_slow_callback_does_not_hold_up_the_run(lab: Lab) -> None:
    ended: list[float] = []

    def slow(stats: dict[str, Any], elapsed: float, batches: dict[str, Any]) -> None:
        if not ended:
            wait_until(lambda: lab.ledger.billed_items == 12)
            ended.append(lab.ledger.billed_items)

    lab.chat(12).run(on_progress=slow, progress_interval=0.0)

    assert ended == [12]


def test_what_the_callback_does_with_its_numbers_is_its_own_affair(lab: Lab) -> None:
    def greedy(stats: dict[str, Any], elapsed: float, batches: dict[str, Any]) -> None:
        stats.clear()
        batches.clear()

    run = lab.chat(12).run(on_progress=greedy, progress_interval=0.0)

    assert run.status()["completed"] == 12


def test_a_callback_set_on_a_started_run_is_called_at_its_end(lab: Lab) -> None:
    calls: list[Call] = []
    run = lab.chat(5).run(wait=False, on_progress=lambda *told: calls.append(told))

    run.wait(timeout=60)

    assert calls[-1][0]["completed"] == 5
