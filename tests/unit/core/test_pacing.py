"""The pace of live calls, at times that the tests set."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchata.core.pacing import Pace, PaceCaps, Quota

SILENT = Quota()


def pace_of(**caps: Any) -> Pace:
    """A new pace at time 0."""
    return Pace(PaceCaps(**caps), 0.0)


def leave_all(pace: Pace, count: int, tokens: int = 100, took_seconds: float = 0.3) -> list[float]:
    """Send so many calls as early as the pace allows, and the times at which they left."""
    now, left, back = 0.0, list[float](), list[float]()
    while len(left) < count:
        while back and back[0] <= now:
            pace.answered(SILENT, back.pop(0))
        wait = pace.wait_seconds(tokens, now)
        if wait == 0.0:
            pace.sent(tokens, now)
            left.append(now)
            back.append(now + took_seconds)
        else:
            now = back[0] if wait is None else now + max(wait, 1e-6)
    return left


def most_in_a_minute(times: list[float]) -> int:
    """The largest number of times in any 60 seconds."""
    return max(bisect_right(times, at + 60.0 - 1e-6) - n for n, at in enumerate(times))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.integers(1, 50), st.floats(0.01, 20.0))
def test_no_minute_has_more_requests_than_the_cap(
    rpm: int, concurrency: int, took_seconds: float
) -> None:
    pace = pace_of(requests_per_minute=rpm, concurrency=concurrency)

    times = leave_all(pace, 2 * rpm + 5, took_seconds=took_seconds)

    assert most_in_a_minute(times) <= rpm


@settings(max_examples=25, deadline=None)
@given(st.integers(200, 100_000), st.integers(1, 200))
def test_no_minute_has_more_tokens_than_the_cap_and_one_call(tpm: int, share: int) -> None:
    tokens = max(1, tpm // share)
    pace = pace_of(tokens_per_minute=tpm, concurrency=1000)

    times = leave_all(pace, min(300, 2 * tpm // tokens + 5), tokens, took_seconds=0.01)

    assert most_in_a_minute(times) * tokens <= tpm + tokens


@pytest.mark.parametrize("rpm", [10, 60, 600])
def test_a_cap_is_used_nearly_whole(rpm: int) -> None:
    times = leave_all(pace_of(requests_per_minute=rpm, concurrency=1000), 3 * rpm)

    assert 3 * rpm / (times[-1] / 60.0) >= 0.95 * rpm


def test_what_an_answer_really_took_is_taken_from_the_next_ones() -> None:
    pace = pace_of(tokens_per_minute=6000, concurrency=1000)
    pace.sent(100, 0.0)

    pace.used(500, 0.0)
    waits_longer = pace.wait_seconds(100, 0.0)
    pace.used(-500, 0.0)

    assert waits_longer == pytest.approx(6.0 * 60 / 59)
    assert pace.wait_seconds(100, 0.0) == pytest.approx(1.0 * 60 / 59)


def test_a_single_call_larger_than_the_cap_leaves_when_nothing_was_used() -> None:
    pace = pace_of(tokens_per_minute=600)

    assert pace.wait_seconds(100_000, 0.0) == 0.0


def test_without_headers_the_window_doubles_a_round_until_the_first_congestion() -> None:
    pace = pace_of()
    for _ in range(16):
        pace.sent(1, 0.0)
    windows = []

    for now in range(3):
        for _ in range(int(pace.window)):
            pace.answered(SILENT, now)
            while pace.wait_seconds(1, now) == 0.0:
                pace.sent(1, now)
        windows.append(int(pace.window))

    assert windows == [32, 64, 128]


def test_a_window_that_is_not_used_does_not_grow() -> None:
    pace = pace_of()

    for now in range(100):
        pace.sent(1, now)
        pace.answered(SILENT, now + 0.5)

    assert pace.window == 16


def test_a_congestion_cuts_once_for_all_calls_that_left_before_it() -> None:
    pace = pace_of()
    for _ in range(10):
        pace.sent(1, 0.0)

    for number in range(9):
        pace.congested(SILENT, 0.0, 1.0 + number / 10)
    once = pace.window
    pace.sent(1, 5.0)
    pace.congested(SILENT, 5.0, 6.0)

    assert once == pytest.approx(16 * 0.7)
    assert pace.window == pytest.approx(16 * 0.7 * 0.7)
    assert pace.throttled == 10


def test_after_a_congestion_the_window_grows_by_one_a_round() -> None:
    pace = pace_of()
    pace.sent(1, 0.0)
    pace.congested(SILENT, 0.0, 0.0)
    before = pace.window

    for _ in range(int(before)):
        pace.sent(1, 100.0)
    for _ in range(int(before)):
        pace.answered(SILENT, 101.0)

    assert before < pace.window <= before + 1.0


def test_a_server_error_stops_growth_for_a_while() -> None:
    pace = pace_of()
    pace.sent(1, 0.0)
    pace.troubled(0.0)

    for now in (1.0, 20.0):
        for _ in range(int(pace.window)):
            pace.sent(1, now)
        for _ in range(16):
            pace.answered(SILENT, now)
        if now == 1.0:
            assert pace.window == 16

    assert pace.window > 16


def test_a_pause_holds_for_every_call() -> None:
    pace = pace_of(concurrency=100)
    pace.sent(1, 0.0)
    pace.sent(1, 0.0)

    pace.congested(Quota(retry_after_seconds=7.0), 0.0, 1.0)
    pace.congested(Quota(retry_after_seconds=2.0), 0.0, 1.5)

    assert pace.wait_seconds(1, 2.0) == pytest.approx(6.0)
    assert pace.wait_seconds(1, 8.0) == 0.0


def test_where_nobody_is_no_call_leaves_and_none_is_throttled() -> None:
    pace = pace_of()

    pace.away(5.0, 0.0)

    assert pace.wait_seconds(1, 1.0) == pytest.approx(4.0)
    assert pace.paused_seconds(1.0) == 0.0


def test_pauses_are_as_short_as_the_run_wants_them() -> None:
    pace = Pace(PaceCaps(), 0.0, hurry=0.01)
    pace.sent(1, 0.0)

    pace.congested(Quota(retry_after_seconds=30.0), 0.0, 0.0)

    assert pace.wait_seconds(1, 0.0) == pytest.approx(0.3)


def test_a_limit_of_the_vendors_is_kept_from_the_first_answer_on() -> None:
    pace = pace_of(concurrency=1000)
    pace.sent(1, 0.0)

    pace.answered(Quota(requests_limit=60, requests_left=0), 0.0)

    assert pace.wait_seconds(1, 0.0) == pytest.approx(60 / 59)


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_the_lower_of_cap_and_limit_holds(cap: int, limit: int) -> None:
    pace = pace_of(requests_per_minute=cap, concurrency=1000)
    pace.sent(1, 0.0)
    pace.answered(Quota(requests_limit=limit, requests_left=0), 0.0)

    wait = pace.wait_seconds(1, 0.0)

    assert wait is not None
    assert wait >= 60.0 / min(cap, limit)


def test_an_exhausted_quota_without_retry_after_waits_for_its_reset() -> None:
    pace = pace_of()
    pace.sent(1, 0.0)
    quota = Quota(requests_limit=60, requests_left=0, requests_reset_seconds=12.0)

    wait = pace.congested(quota, 0.0, 0.0)

    assert wait == 12.0
    assert pace.wait_seconds(1, 0.0) == pytest.approx(12.0)


def test_a_congestion_without_a_word_pauses_only_where_nothing_is_left_to_cut() -> None:
    pace = pace_of()
    waits = []

    for now in range(1, 12):
        pace.sent(1, now)
        waits.append(pace.congested(SILENT, now, now))

    assert waits[0] == 0.0
    assert waits[-1] == 1.0
    assert pace.window == 1.0
