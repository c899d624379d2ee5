"""Progress in a log, a pipe or CI."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from batchata.core.progress import LiveView, RunView, SubmissionView
from batchata.sinks.terminal import RichBatchProgressDisplay

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def ended(token: str, **changes: Any) -> SubmissionView:
    values: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-5-mini",
        "state": "collected",
        "total": 100,
        "done": 100,
        "batch_id": f"batch_{token}",
        "finished_at": NOON,
    }
    return SubmissionView(token=token, **{**values, **changes})


def run_view(**changes: Any) -> RunView:
    values: dict[str, Any] = {
        "run_id": "7f3a",
        "total": 2000,
        "succeeded": 988,
        "failed": 12,
        "spent_usd": Decimal("0.4213"),
        "limit_usd": Decimal(5),
        "elapsed_seconds": 60.0,
        "results_dir": "./out",
        "state_file": "./run.db",
    }
    return RunView(**{**values, **changes})


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def display_to_a_pipe(clock: FakeClock) -> tuple[RichBatchProgressDisplay, StringIO]:
    file = StringIO()
    return RichBatchProgressDisplay(Console(file=file, width=80), clock=clock), file


def test_a_pipe_gets_a_first_and_a_last_line(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)

    display.start_progress(run_view(succeeded=0, failed=0))
    display.finish_progress(run_view(succeeded=1988, is_complete=True))

    first, last = file.getvalue().splitlines()
    assert first == "batchata: run 7f3a: 2,000 jobs, limit $5.00, results ./out, state ./run.db"
    assert last.startswith("batchata: done in 1:00: 2,000 of 2,000 jobs, 12 failed, $0.4213 spent")


def test_a_pipe_is_told_that_jobs_are_still_read(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)

    display.start_progress(run_view(total=0, succeeded=0, failed=0, is_taking_in=True))
    clock.seconds += 10
    display.update_progress(run_view(is_taking_in=True))

    first, second = file.getvalue().splitlines()
    assert first.startswith("batchata: run 7f3a: reading jobs, limit $5.00")
    assert " 2,000 jobs so far" in second
    assert "%" not in second


def test_a_pipe_gets_at_most_one_line_in_ten_seconds(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view())

    for _ in range(100):
        clock.seconds += 0.25
        display.update_progress(run_view())

    assert len(file.getvalue().splitlines()) == 1 + 2


def test_a_pipe_is_told_of_each_batch_that_ends_once(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view(submissions_done=0))
    batch = ended("a", failed=2, started_at=NOON - timedelta(seconds=40), cost_usd=Decimal("0.02"))

    display.update_progress(run_view(submissions_done=1, active=(batch,)))
    display.update_progress(run_view(submissions_done=2, active=(batch, ended("b"))))

    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1] == "batchata: openai batch_a complete, 98 of 100 jobs ok, 0:40, $0.0200"


def test_a_batch_that_was_not_sent_is_no_batch_that_went_well(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view(submissions_done=0))

    unsent = ended("a", batch_id=None, state="dropped", note="no OpenAI key")
    display.update_progress(run_view(submissions_done=1, active=(unsent,)))

    said = "batchata: openai batch of 100 jobs was not sent, no OpenAI key"
    assert file.getvalue().splitlines()[1:] == [said]


def test_many_batches_that_end_together_make_one_line(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view(submissions_done=0))

    rows = tuple(ended(str(n), failed=1) for n in range(8))
    display.update_progress(run_view(submissions_done=8, active=rows))

    assert file.getvalue().splitlines()[1:] == ["batchata: 8 batches ended, 8 jobs failed"]


def test_a_pipe_is_told_at_once_that_the_run_is_stopping(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view())

    display.handle_cancellation(run_view())

    assert file.getvalue().splitlines()[1].endswith("what is paid for is kept")


def test_a_long_plain_line_stays_one_line(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)

    display.start_progress(run_view(results_dir="/a" * 100))

    assert len(file.getvalue().splitlines()) == 1


def test_a_live_run_tells_how_fast_it_goes(clock: FakeClock) -> None:
    display, file = display_to_a_pipe(clock)
    display.start_progress(run_view())
    clock.seconds += 11

    display.update_progress(
        run_view(
            live=LiveView(
                in_flight=64, jobs_per_second=811.7, tokens_per_minute=1.2e6, paused_seconds=11.6
            )
        )
    )

    line = file.getvalue().splitlines()[-1]
    assert "64 calls in flight, 812 jobs/s, 1.2M tokens/min, throttled for 12 s" in line
