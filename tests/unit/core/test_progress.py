"""What a run shows of itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from batchata.core.progress import LiveView, RunView, SubmissionView

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
KNOWN_STATS = {
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
}
ADDED_STATS = {
    "skipped",
    "reserved_usd",
    "possibly_billed",
    "possibly_billed_usd",
    "batches_unresolved",
    "input_tokens",
    "output_tokens",
    "eta_seconds",
    "jobs_per_second",
    "tokens_per_minute",
    "calls_in_flight",
    "throttled_seconds",
}


def submission(token: str = "t", **changes: Any) -> SubmissionView:
    values = {"provider": "openai", "model": "gpt-5-mini", "state": "running", "total": 100}
    return SubmissionView(token=token, **{**values, **changes})


def run_view(**changes: Any) -> RunView:
    return RunView(**{"run_id": "r", "total": 200, **changes})


def test_stats_have_the_keys_users_know_and_the_added_ones() -> None:
    assert set(run_view().stats()) == KNOWN_STATS | ADDED_STATS


def test_pending_counts_every_job_that_has_not_ended() -> None:
    view = run_view(pending=90, submitted=100, succeeded=7, failed=1, cancelled=1, skipped=1)

    stats = view.stats()

    assert (stats["pending"], stats["active"], stats["completed"]) == (190, 100, 7)


def test_batches_are_counted_and_the_oldest_in_flight_is_the_current_one() -> None:
    finished = submission("a", finished_at=NOON, state="collected", total=50)
    view = run_view(
        submissions_total=4, submissions_done=1, active=(finished, submission("b", total=30))
    )

    stats = view.stats()

    assert stats["batches_pending"] == 3
    assert stats["current_batch_index"] == 1
    assert stats["current_batch_size"] == 30


def test_requests_ended_at_the_vendor_count_as_progress_before_they_are_fetched() -> None:
    view = run_view(submitted=150, succeeded=50, active=(submission(done=40),))

    assert view.progressed == 90
    assert view.fraction == pytest.approx(0.45)


def test_a_job_that_is_fetched_is_not_counted_twice() -> None:
    view = run_view(
        submitted=140, succeeded=60, active=(submission("a", done=100, settled=60), submission("b"))
    )

    assert view.progressed == 100


def test_progress_never_passes_the_total() -> None:
    view = run_view(submitted=10, succeeded=190, active=(submission(done=100),))

    assert view.progressed == 200
    assert view.fraction == 1.0


@pytest.mark.parametrize("changes", [{}, {"elapsed_seconds": 9.0}, {"succeeded": 9}])
def test_nothing_is_said_of_the_time_left_before_there_is_progress(changes: Any) -> None:
    assert run_view(**changes).eta_seconds is None


def test_the_time_left_follows_from_what_was_done_so_far() -> None:
    view = run_view(submitted=150, succeeded=20, active=(submission(done=30),), elapsed_seconds=10)

    assert view.eta_seconds == pytest.approx(30)


def test_jobs_done_by_an_earlier_process_do_not_make_this_one_look_fast() -> None:
    view = run_view(succeeded=150, done_before=100, elapsed_seconds=10)

    assert view.jobs_per_second == pytest.approx(5)
    assert view.eta_seconds == pytest.approx(10)


def test_a_complete_run_has_no_time_left() -> None:
    assert run_view(is_complete=True).eta_seconds == 0.0


def test_an_empty_run_that_is_complete_is_all_done() -> None:
    assert run_view(total=0, is_complete=True).fraction == 1.0


@pytest.mark.parametrize(
    ("state", "is_finished", "word"),
    [
        ("intended", False, "pending"),
        ("queued", False, "pending"),
        ("accepted", False, "running"),
        ("cancelling", False, "running"),
        ("completed", False, "running"),
        ("collected", True, "complete"),
        ("completed", True, "complete"),
        ("expired", True, "failed"),
        ("dropped", True, "failed"),
        ("cancelled", True, "cancelled"),
    ],
)
def test_states_are_told_in_the_words_of_callbacks(
    state: str, is_finished: bool, word: str
) -> None:
    assert submission(state=state, finished_at=NOON if is_finished else None).word == word


def test_batch_data_has_the_keys_users_know() -> None:
    view = run_view(active=(submission(batch_id="batch_1", done=9, failed=2, started_at=NOON),))

    data = view.batch_data()

    assert data == {
        "batch_1": {
            "start_time": NOON,
            "status": "running",
            "total": 100,
            "completed": 7,
            "failed": 2,
            "cost": Decimal(0),
            "estimated_cost": Decimal(0),
            "provider": "openai",
            "model": "gpt-5-mini",
        }
    }


def test_batches_without_an_id_are_numbered() -> None:
    view = run_view(active=(submission("a", batch_id="batch_1"), submission("b")))

    assert list(view.batch_data()) == ["batch_1", "pending_1"]


def test_a_finished_batch_says_when_and_why() -> None:
    ended = submission(state="failed", finished_at=NOON, note="the vendor refused it")

    data = ended.data()

    assert (data["completion_time"], data["error"]) == (NOON, "the vendor refused it")


def test_a_live_run_guesses_its_end_by_its_last_seconds() -> None:
    live = LiveView(in_flight=8, jobs_per_second=5.0, paused_seconds=7.0)

    view = run_view(succeeded=100, elapsed_seconds=1000.0, live=live)

    assert view.eta_seconds == 100 / 5.0 + 7.0
