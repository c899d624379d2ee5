"""Responses in the background: asked for at the vendor's pace, and never more than it likes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from engine_bench import ANSWER_COST, BOUND, Bench

from batchata.core.errors import (
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import SubmissionIntended
from batchata.core.result import Reason
from batchata.core.status import SubmissionStatus
from batchata.engine import response_poller
from batchata.engine.background import _OneByOne
from batchata.ports import ResponseLook
from batchata.testing import FakeBackgroundAPI, FakeClock, FakeProvider

GONE = ProviderRejectedError("gone", status=404)


@dataclass(slots=True, kw_only=True)
class TimedAPI(FakeBackgroundAPI):
    """A fake vendor that knows when it was asked."""

    clock: FakeClock = field(default_factory=FakeClock)
    times: list[float] = field(default_factory=list)

    async def retrieve(self, response_id: str) -> ResponseLook:
        self.times.append(self.clock.elapsed)
        return await FakeBackgroundAPI.retrieve(self, response_id)

    @property
    def gaps(self) -> list[float]:
        """Seconds between the looks."""
        return [later - sooner for sooner, later in pairwise(self.times)]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(clock: FakeClock) -> TimedAPI:
    return TimedAPI(clock=clock)


@pytest.fixture
def bench(tmp_path: Path, api: TimedAPI, clock: FakeClock) -> Bench:
    """An engine whose vendor answers in the background."""
    return on_background(Bench(tmp_path, clock=clock), api)


def on_background(bench: Bench, api: TimedAPI) -> Bench:
    bench.context.providers = {"fake": FakeProvider(background=api)}
    return bench.set(route="background")


def test_without_a_word_of_the_vendors_looks_slow_down_with_age(
    bench: Bench, api: TimedAPI
) -> None:
    api.looks_needed = 80

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert api.gaps[0] == pytest.approx(2, abs=0.1)
    assert 50 <= api.gaps[-1] <= 62


def test_the_vendors_own_pace_is_kept(bench: Bench, api: TimedAPI) -> None:
    api.looks_needed, api.poll_after_seconds = 30, 7.0

    bench.add(BOUND).run()

    assert api.times[0] >= 7
    assert all(gap == pytest.approx(7, abs=0.1) for gap in api.gaps)


def test_a_wish_for_a_pause_holds_for_all(bench: Bench, api: TimedAPI) -> None:
    slow = ProviderUnavailableError("429", status=429, retry_after_seconds=300)
    api.break_next("retrieve", slow)
    api.looks_needed = 2

    bench.add(*[BOUND] * 5).run()

    assert bench.statuses == ["succeeded"] * 5
    early = [time for time in api.times if time < 290]
    assert len(early) <= 5  # those on their way when it was said


def test_many_are_asked_for_at_a_bearable_rate(
    bench: Bench, api: TimedAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_poller, "_LOOKS_PER_SECOND", 10)
    api.looks_needed, api.poll_after_seconds = 3, 0.1

    bench.add(*[BOUND] * 100).run()

    assert bench.statuses == ["succeeded"] * 100
    first, second, third = (api.times[start : start + 100] for start in (0, 100, 200))
    assert second[0] - first[-1] >= 8
    assert third[0] - second[-1] >= 8


def test_one_that_cannot_be_asked_for_hours_is_asked_for_on(bench: Bench, api: TimedAPI) -> None:
    api.break_next("retrieve", ProviderUnavailableError("502"), times=40)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.clock.elapsed > 30 * 60
    assert max(api.gaps) <= 76


def test_a_404_is_believed_after_ten_minutes(bench: Bench, api: TimedAPI) -> None:
    api.break_next("retrieve", GONE, times=10_000)

    bench.add(BOUND).run()

    assert bench.statuses == ["failed"]
    assert bench.outcome("j0").reason is Reason.RESULTS_GONE
    assert bench.outcome("j0").uncertain == BOUND
    assert 600 <= bench.clock.elapsed < 700


def test_one_that_is_refused_otherwise_is_left_for_another_key(bench: Bench, api: TimedAPI) -> None:
    api.break_next("retrieve", ProviderRejectedError("not yours", status=400), times=5)

    bench.add(BOUND).run()
    assert bench.statuses == ["submitted"]
    again = on_background(bench.next(), api)
    again.run()

    assert again.statuses == ["succeeded"]
    assert len(api.responses) == 1


def test_a_lost_beginning_keeps_its_money_until_the_user_says_so(
    bench: Bench, api: TimedAPI
) -> None:
    api.break_next("send", OutcomeUnknownError("cut"), after=True)

    bench.add(BOUND, BOUND).run()
    assert sorted(bench.statuses) == ["submitted", "succeeded"]
    assert bench.state.cost.reserved == BOUND
    kept = on_background(bench.next(), api)
    kept.run()
    told = on_background(kept.next(), api).set(on_unresolved="resubmit")
    told.run()

    assert sorted(kept.statuses) == ["submitted", "succeeded"]
    assert told.statuses == ["succeeded", "succeeded"]
    assert (told.state.cost.reserved, told.state.cost.uncertain) == (0, BOUND)
    assert told.state.cost.spent == 2 * ANSWER_COST
    assert len(api.responses) == 3


def test_what_surely_did_not_leave_is_sent_again(bench: Bench, api: TimedAPI) -> None:
    api.break_next("send", ProviderUnavailableError("nobody there"), times=3)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.state.cost.uncertain == 0
    assert len(api.responses) == 1


def test_jobs_that_do_not_fit_beside_a_lost_one_are_skipped_and_nobody_waits_for_it(
    bench: Bench, api: TimedAPI
) -> None:
    api.break_next("send", OutcomeUnknownError("cut"), after=True)

    bench.limit(BOUND).add(BOUND, BOUND).run()

    assert bench.statuses == ["submitted", "skipped"]


def test_a_submission_that_was_only_intended_is_free_again(bench: Bench, api: TimedAPI) -> None:
    bench.add(BOUND)
    (submission,) = _OneByOne(bench.context).intend([0])
    bench.context.record(SubmissionIntended(submission=submission))

    again = on_background(bench.next(), api)
    again.run()

    assert again.statuses == ["succeeded"]
    assert again.state.submissions[submission.token].status is SubmissionStatus.DROPPED
    assert len(api.responses) == 1


def test_a_404_long_before_is_no_part_of_the_next_row(bench: Bench, api: TimedAPI) -> None:
    api.looks_needed = 100
    api.break_next("retrieve", GONE)
    bench.clock.at(3_600, lambda: api.break_next("retrieve", GONE, times=6))

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
