"""A run as its caller holds it: started, watched, waited for, stopped, cancelled, streamed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from run_lab import GPT, MODELS, TOLD, Lab, all_of, end_limits, wait_until

from batchata import Batch, BatchRun, Job, JobStatus, Reason
from batchata.core.errors import RunError, StateError
from batchata.core.progress import RunView
from batchata.gateway import HttpFault, Scenario

VENDORS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
SLOW = Scenario(latency_seconds=3_600.0)


def until_in_flight(run: BatchRun, batches: int) -> None:
    """Wait until so many batches are at the vendor."""

    def are_there() -> bool:
        try:
            return sum(1 for view in run.view.active if view.batch_id) >= batches
        except RunError:
            return False

    wait_until(are_there)


def unstarted(batch: Batch) -> BatchRun:
    """The run of a batch, before its start."""
    return BatchRun(batch.config, batch.jobs, providers=batch.providers)


def test_start_comes_back_at_once_and_wait_brings_the_end(lab: Lab) -> None:
    lab.play(scenario=SLOW)

    run = lab.chat(10).start()
    early = run.wait(timeout=0.02)

    assert not early
    assert not run.is_complete
    until_in_flight(run, 1)
    lab.play(scenario=Scenario(clock_skew_seconds=3_601))
    assert run.wait(timeout=60)
    assert run.is_complete
    assert run.status()["completed"] == 10


def test_a_run_shows_how_it_stands(lab: Lab) -> None:
    run = unstarted(lab.chat(2))
    before = repr(run)

    run.execute()

    assert before == "BatchRun(not started)"
    assert repr(run).startswith("BatchRun(completed=2, failed=0, cancelled=0, skipped=0, pending=0")


def test_run_without_waiting_is_a_start(lab: Lab) -> None:
    run = lab.chat(5).run(wait=False)

    assert run.wait(timeout=60)
    assert len(run.results().completed) == 5


def test_a_run_works_in_a_thread_of_the_callers(lab: Lab) -> None:
    runs: list[BatchRun] = []

    thread = threading.Thread(target=lambda: runs.append(lab.chat(5).run()))
    thread.start()
    thread.join(60)

    assert runs[0].status()["completed"] == 5


async def _blocking_inside(lab: Lab) -> BatchRun:
    return lab.chat(5).run()


def test_a_blocking_run_works_inside_a_running_loop(lab: Lab) -> None:
    run = asyncio.run(_blocking_inside(lab))

    assert run.status()["completed"] == 5


def test_an_awaited_run_leaves_the_loop_free(lab: Lab) -> None:
    lab.play(scenario=SLOW)

    async def main() -> BatchRun:
        running = asyncio.ensure_future(lab.chat(5).arun())
        while not lab.ledger.batches:
            await asyncio.sleep(0.005)
        lab.play(scenario=Scenario(clock_skew_seconds=3_601))
        return await running

    run = asyncio.run(main())

    assert run.status()["completed"] == 5


def test_an_awaited_run_that_is_cancelled_stops_in_good_order(lab: Lab) -> None:
    lab.play(scenario=SLOW)

    async def main() -> None:
        running = asyncio.ensure_future(lab.chat(5).arun())
        while not lab.ledger.batches:
            await asyncio.sleep(0.005)
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())

    lab.play()
    assert len(lab.ledger.batches) == 1


@VENDORS
def test_results_stream_as_they_come_each_once(lab: Lab, model: str) -> None:
    lab.play("item-errors,item-invalid")

    async def main() -> list[str]:
        run = BatchRun(
            lab.batch().config, lab.chat(30, model).jobs, providers=lab.batch().providers
        )
        return [result.job_id async for result in run.stream()]

    ids = asyncio.run(main())

    assert sorted(ids) == sorted(f"q{n}" for n in range(30))


def test_a_stream_of_a_started_run_starts_from_the_beginning(lab: Lab) -> None:
    run = lab.chat(12).start()
    run.wait(timeout=60)

    async def main() -> list[str]:
        return [result.job_id async for result in run.stream()]

    assert len(asyncio.run(main())) == 12


@VENDORS
def test_stop_sends_nothing_new_and_leaves_what_is_in_flight(lab: Lab, model: str) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(30, model, max_parallel_batches=2).start()
    until_in_flight(run, 2)

    run.stop()
    assert run.wait(timeout=60)

    assert len(lab.ledger.batches) == 2
    assert {entry.status for entry in lab.ledger.batches} <= {"in_progress", "validating"}
    statuses = [result.status for result in all_of(run).values()]
    assert statuses.count(JobStatus.SUBMITTED) == 20
    assert statuses.count(JobStatus.PENDING) == 10
    assert not run.is_complete


@VENDORS
def test_cancel_ends_every_job_and_asks_the_vendor_to_stop(lab: Lab, model: str) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(30, model, max_parallel_batches=2).start()
    until_in_flight(run, 2)

    run.cancel()
    assert run.wait(timeout=60)

    results = all_of(run)
    assert {result.status for result in results.values()} == {JobStatus.CANCELLED}
    assert {result.reason for result in results.values()} == {Reason.CANCELLED}
    assert {entry.status for entry in lab.ledger.batches} <= {"cancelled", "ended"}
    assert run.status()["cost_usd"] == lab.billed_usd
    assert run.is_complete


def test_cancelled_jobs_are_told_by_the_run_and_by_its_state(lab: Lab) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(2).start()
    until_in_flight(run, 1)

    run.cancel()
    assert run.wait(timeout=60)

    state = run.state_manager.load()
    assert state is not None
    assert run.cancelled_jobs == run.get_failed_jobs()
    assert set(run.cancelled_jobs.values()) == {"Cancelled by user"}
    told = {each["id"]: (each["error"], each["reason"]) for each in state.cancelled_jobs}
    assert told == dict.fromkeys(run.results(), ("Cancelled by user", "cancelled"))
    assert state.failed_jobs == []


@VENDORS
def test_cancel_keeps_and_pays_what_was_answered(lab: Lab, model: str) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(40, model, items_per_batch=None).start()
    until_in_flight(run, 1)
    lab.play(scenario=Scenario(clock_skew_seconds=1_800))  # half the time has passed

    run.cancel()
    assert run.wait(timeout=60)

    status = run.status()
    assert status["completed"] + status["cancelled"] == 40
    assert 0 < status["cancelled"] < 40
    assert status["cost_usd"] == lab.billed_usd


@VENDORS
def test_a_cancel_while_the_create_call_is_out_cancels_that_batch_too(lab: Lab, model: str) -> None:
    slow = HttpFault(action="slow", route="*.batches.create", seconds=0.3, times=None)
    lab.play(scenario=Scenario(latency_seconds=3_600.0, http=(slow,)))
    run = lab.chat(5, model).start()
    wait_until(lambda: any(each.route.endswith("batches.create") for each in lab.box.requests))

    run.cancel()
    assert run.wait(timeout=60)

    assert {result.status for result in all_of(run).values()} == {JobStatus.CANCELLED}


def test_a_cancelled_script_run_again_asks_its_jobs(lab: Lab) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(10).start()
    until_in_flight(run, 1)
    run.cancel()
    run.wait(timeout=60)
    lab.play()

    again = lab.chat(10).run()

    assert again.status()["completed"] == 10


def test_shutdown_waits_for_the_end(lab: Lab) -> None:
    lab.play(scenario=SLOW)
    run = lab.chat(5).start()
    until_in_flight(run, 1)

    run.shutdown()

    assert run.wait(timeout=0)
    assert len(run.results().unfinished) == 5


def test_a_time_limit_ends_the_run_and_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.play(scenario=SLOW)
    end_limits(monkeypatch, lambda: lab.ledger.batches)

    run = lab.chat(20, max_parallel_batches=1).add_time_limit(seconds=TOLD).run()

    results = run.results()
    assert len(results.unfinished) == 10
    assert {result.reason for result in results.cancelled} == {Reason.TIME_LIMIT}
    assert all("Time limit exceeded" in (result.error or "") for result in results.cancelled)


def test_a_time_limit_can_cancel_at_the_vendor(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.play(scenario=SLOW)
    end_limits(monkeypatch, lambda: lab.ledger.batches)

    run = lab.chat(10).add_time_limit(seconds=TOLD).set_stop("cancel").run()

    assert {entry.status for entry in lab.ledger.batches} == {"cancelled"}
    assert len(run.results().cancelled) == 10


class Interrupting:
    """A display that is interrupted while it begins, when the first batch is at the vendor."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def start_progress(self, view: RunView) -> None:
        wait_until(lambda: self.lab.ledger.batches != [])
        raise KeyboardInterrupt

    def update_progress(self, view: RunView) -> None:
        """Show nothing."""

    handle_cancellation = finish_progress = update_progress


def test_a_ctrl_c_right_after_the_start_stops_in_good_order(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lab.play(scenario=SLOW)
    monkeypatch.setattr("batchata.run.make_display", lambda: Interrupting(lab))

    with pytest.raises(KeyboardInterrupt):
        lab.chat(5).run(print_status=True)
    lab.play(scenario=Scenario(clock_skew_seconds=3_601))
    again = lab.chat(5).run()

    assert "1 batch goes on at the vendor" in caplog.text
    assert f"`batchata resume {lab.state_file}`" in caplog.text
    assert again.status()["completed"] == 5
    assert len(lab.ledger.batches) == 1


def test_stop_before_the_start_and_after_the_end_does_nothing(lab: Lab) -> None:
    run = unstarted(lab.chat(3))

    run.stop()
    run.shutdown()
    run.execute()
    run.stop()
    run.cancel()

    assert run.status()["completed"] == 3


def test_a_run_is_started_once(lab: Lab) -> None:
    run = lab.chat(3).run()

    with pytest.raises(RunError, match="already started"):
        run.start()


def test_one_batch_can_run_twice_without_harm(lab: Lab) -> None:
    batch = lab.chat(5)

    first, second = batch.run(), batch.run()

    assert all_of(first) == all_of(second)
    assert lab.ledger.billed_items == 5


@pytest.mark.parametrize("kwargs", [{}, {"print_status": True}])
def test_what_a_run_raises_comes_out_of_wait(lab: Lab, kwargs: dict[str, Any]) -> None:
    lab.out.write_text("in the way")

    run = lab.chat(3).start(**kwargs)

    with pytest.raises(Exception, match="cannot be written"):
        run.wait(timeout=60)


def test_a_run_that_has_just_been_started_tells_of_itself(lab: Lab) -> None:
    run = lab.chat(40).start()

    first = run.status()
    found = len(run.results())
    spent = run.cost_tracker.used_usd
    run.wait()

    assert first["total"] <= 40
    assert found <= 40
    assert spent <= run.status()["cost_usd"]
    assert run.status()["completed"] == 40


def test_a_run_says_whether_more_jobs_may_come(lab: Lab) -> None:
    may_go_on = threading.Event()

    def jobs() -> Iterator[Job]:
        yield Job(id="a", model=GPT, prompt="one")
        assert may_go_on.wait(60)
        yield Job(id="b", model=GPT, prompt="two")

    run = lab.batch().add_jobs(jobs()).start()

    def takes_in() -> bool:
        try:
            return run.view.is_taking_in
        except RunError:
            return False

    wait_until(takes_in)
    may_go_on.set()
    run.wait()
    assert not run.view.is_taking_in
    assert run.view.succeeded == 2


def test_a_run_that_could_not_begin_says_why(lab: Lab) -> None:
    lab.out.mkdir()
    lab.state_file.write_text("this is no state file")
    run = lab.chat(2).start()

    with pytest.raises(StateError):
        run.status()
    with pytest.raises(StateError):
        run.wait()
