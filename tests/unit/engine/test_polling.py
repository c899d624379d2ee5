"""Waiting for a vendor's final word: at its pace, slower with age, whatever the network does."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from engine_bench import BOUND, Bench, ending, queue_full

from batchata.core.errors import (
    AccountStoppedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import RemoteProgress
from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.ports import BatchLook
from batchata.testing import FakeBatchAPI, FakeClock

DOWN = ProviderUnavailableError("502")


@dataclass
class TimedAPI(FakeBatchAPI):
    """A fake vendor that knows when it was looked at."""

    clock: FakeClock = field(default_factory=FakeClock)
    times: list[float] = field(default_factory=list)

    async def look(self, remote_id: str) -> BatchLook:
        self.times.append(self.clock.elapsed)
        return await super().look(remote_id)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An engine whose vendor keeps the times of looks."""
    clock = FakeClock()
    return Bench(tmp_path, api=TimedAPI(clock=clock), clock=clock)


def gaps(bench: Bench) -> list[float]:
    """Virtual seconds between the looks."""
    assert isinstance(bench.api, TimedAPI)
    return [later - sooner for sooner, later in pairwise(bench.api.times)]


def test_looks_begin_at_the_vendors_pace_and_slow_down_with_age_to_a_minute(
    bench: Bench,
) -> None:
    bench.api.looks_needed = 80

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert gaps(bench)[0] == pytest.approx(1, abs=0.01)
    assert 55 <= gaps(bench)[-1] <= 61
    assert all(later >= sooner - 1 for sooner, later in pairwise(gaps(bench)))


def test_nothing_wakes_a_run_between_two_looks(bench: Bench) -> None:
    bench.api.looks_needed = 80

    bench.add(BOUND).run()

    assert len(bench.clock.sleeps) < 2 * 80


def test_a_faster_pace_can_be_asked_for(bench: Bench) -> None:
    bench.api.looks_needed = 20

    bench.add(BOUND).set(poll_factor=0.01).run()

    assert bench.clock.elapsed < 2


def test_a_vendor_that_cannot_be_asked_for_hours_is_asked_on(bench: Bench) -> None:
    bench.api.break_next("look", DOWN, times=130)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.clock.elapsed > 2 * 3600
    assert max(gaps(bench)) <= 61


def test_a_vendors_wish_for_a_pause_is_kept(bench: Bench) -> None:
    bench.api.break_next("look", ProviderUnavailableError("429", retry_after_seconds=900))

    bench.add(BOUND).run()

    assert gaps(bench)[0] == pytest.approx(900, abs=1)


def test_a_batch_that_the_vendor_does_not_know_any_more_stays_open(bench: Bench) -> None:
    bench.api.break_next("look", ProviderRejectedError("404", status=404), times=99)

    bench.add(BOUND).run()

    assert bench.statuses == ["submitted"]
    assert bench.state.cost.reserved == BOUND
    assert any("404" in note for note in bench.context.notes.values())


def test_a_batch_too_old_to_be_anywhere_is_given_up_when_the_vendor_does_not_know_it(
    bench: Bench,
) -> None:
    bench.api.looks_needed = 10**6
    bench.api.break_next("look", DOWN)
    bench.add(BOUND).set(time_limit_seconds=60).run()
    bench.api.break_next("look", ProviderRejectedError("404", status=404), times=99)
    bench.clock.elapsed += 30 * 86_400

    later = bench.next().set(time_limit_seconds=None).run()

    assert later.statuses == ["failed"]
    assert (later.state.cost.reserved, later.state.cost.uncertain) == (0, BOUND)


def test_the_users_word_gives_up_a_batch_that_the_vendor_does_not_know(bench: Bench) -> None:
    bench.api.break_next("look", ProviderRejectedError("404", status=404), times=5)

    bench.add(BOUND).set(on_unresolved="resubmit").run()

    assert bench.statuses == ["succeeded"]
    assert len(bench.sent) == 2
    assert bench.state.cost.uncertain == BOUND


def test_silent_looks_keep_nobody_else_waiting(bench: Bench) -> None:
    whole, clock = bench.api.look, bench.clock
    silent = {f"fake-{number}" for number in range(1, 10)}

    async def look(remote_id: str) -> BatchLook:
        if remote_id in silent:
            await clock.sleep(500)
        return await whole(remote_id)

    bench.api.look = look  # type: ignore[method-assign]

    bench.add(*[BOUND] * 33).set(max_parallel_batches=20).run()

    ended = [(event.token, event.state) for event in bench.events if hasattr(event, "state")]
    times = dict(zip((token for token, _ in ended), bench.api.times, strict=True))  # type: ignore[attr-defined]
    assert sorted(times.values())[:2] == [0, 0]
    assert sorted(times.values())[2:] == [500] * 9


def test_one_refused_look_is_not_the_vendors_final_word(bench: Bench) -> None:
    bench.api.break_next("look", ProviderRejectedError("404", status=404), times=3)

    assert bench.add(BOUND).run().statuses == ["succeeded"]


def test_a_key_that_is_withdrawn_stops_the_run_and_leaves_the_batch(bench: Bench) -> None:
    bench.api.break_next("look", AccountStoppedError("401"), times=99)

    bench.add(BOUND).run()

    assert bench.statuses == ["submitted"]
    assert isinstance(bench.context.stop.error, AccountStoppedError)


def test_progress_is_told_and_not_kept(bench: Bench) -> None:
    bench.api.looks_needed = 3

    bench.add(BOUND, BOUND).run()

    told = [event for event in bench.events if isinstance(event, RemoteProgress)]
    assert [event.state for event in told] == ["running", "running", "completed"]
    assert told[0].counts.total == 2
    assert not any(isinstance(event, RemoteProgress) for event in bench.store.events)


def test_many_batches_are_watched_by_one_poller(bench: Bench) -> None:
    bench.api.looks_needed = 4

    bench.add(*[BOUND] * 60).set(max_parallel_batches=100).run()

    assert set(bench.statuses) == {"succeeded"}
    assert len(bench.sent) == 20


@pytest.mark.parametrize("state", [RemoteState.EXPIRED, RemoteState.CANCELLED])
def test_what_an_ended_batch_did_not_reach_goes_again(bench: Bench, state: RemoteState) -> None:
    bench.api.end_next(ending(state))
    whole = bench.api.answer
    bench.api.answer = lambda name, body: None if name == "j1" and once() else whole(name, body)
    once = iter([True, False]).__next__

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.outcome("j1").attempt == 2
    assert bench.sent == [["j0", "j1", "j2"], ["j1"]]


def test_a_batch_refused_as_a_whole_fails_its_jobs_for_nothing(bench: Bench) -> None:
    bench.api.end_next(ending(RemoteState.FAILED, Reason.BATCH_FAILED))

    bench.add(*[BOUND] * 2).run()

    assert bench.statuses == ["failed"] * 2
    assert bench.outcome("j0").error == "scripted batch_failed"
    assert (bench.state.cost.spent, bench.state.cost.reserved) == (0, 0)


def test_lines_that_a_vendor_refuses_fail_and_the_others_go_again(bench: Bench) -> None:
    bad = {2: Failure(Reason.INVALID_REQUEST, "line 2 is wrong")}
    bench.api.end_next(ending(RemoteState.FAILED, Reason.BATCH_FAILED, bad_lines=bad))

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded", "failed", "succeeded"]
    assert bench.outcome("j1").error == "line 2 is wrong"
    assert bench.api.billed == ["j0", "j2"]


def test_a_batch_refused_for_its_size_goes_in_halves(bench: Bench) -> None:
    large = ending(RemoteState.FAILED, Reason.BATCH_FAILED, is_too_large=True)
    bench.api.end_next(large, large)

    bench.add(*[BOUND] * 8).set(items_per_batch=None).run()

    assert set(bench.statuses) == {"succeeded"}
    assert [len(batch) for batch in bench.sent] == [8, 4, 4, 2, 2]
    assert sorted(bench.api.billed) == sorted(f"j{n}" for n in range(8))


def test_a_full_queue_is_waited_for_and_the_same_upload_goes_again(bench: Bench) -> None:
    bench.api.end_next(queue_full())

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.sent == [["j0", "j1", "j2"]] * 2
    assert bench.api.calls.count("upload") == 1
    assert bench.clock.elapsed >= 25


def test_a_batch_that_no_queue_takes_goes_in_halves(bench: Bench) -> None:
    bench.api.end_next(queue_full(), queue_full())

    bench.add(*[BOUND] * 4).set(items_per_batch=4).run()

    assert bench.statuses == ["succeeded"] * 4
    assert [len(batch) for batch in bench.sent] == [4, 4, 2, 2]


def test_a_job_that_no_queue_takes_fails_in_the_end(bench: Bench) -> None:
    bench.api.end_next(*[queue_full()] * 50)

    bench.add(BOUND).run()

    assert bench.statuses == ["failed"]
    assert len(bench.sent) < 12


def test_waves_end_at_the_users_number_of_attempts(bench: Bench) -> None:
    bench.api.answer = lambda name, body: Failure(Reason.OVERLOADED, "too busy")

    bench.add(BOUND).set(max_attempts=4).run()

    assert bench.statuses == ["failed"]
    assert len(bench.sent) == 4
    assert (bench.outcome("j0").attempt, bench.outcome("j0").error) == (4, "too busy")
