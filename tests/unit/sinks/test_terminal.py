"""The progress display as a person sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO, StringIO, TextIOWrapper
from types import ModuleType
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from batchata.core.progress import LiveView, RunView, SubmissionView
from batchata.sinks.terminal import RichBatchProgressDisplay

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def submission(token: str = "t", **changes: Any) -> SubmissionView:
    values: dict[str, Any] = {
        "provider": "openai",
        "model": "gpt-5-mini",
        "state": "running",
        "total": 100,
        "batch_id": f"batch_{token}",
        "started_at": NOON - timedelta(seconds=75),
    }
    return SubmissionView(token=token, **{**values, **changes})


def ended(token: str, **changes: Any) -> SubmissionView:
    return submission(token, **{"state": "collected", "finished_at": NOON, "done": 100, **changes})


def run_view(**changes: Any) -> RunView:
    values: dict[str, Any] = {
        "run_id": "7f3a",
        "total": 2000,
        "pending": 700,
        "submitted": 300,
        "succeeded": 988,
        "failed": 12,
        "spent_usd": Decimal("0.4213"),
        "reserved_usd": Decimal("1.2"),
        "limit_usd": Decimal(5),
        "input_tokens": 1_234_567,
        "output_tokens": 340_000,
        "elapsed_seconds": 60.0,
        "submissions_total": 20,
        "submissions_done": 10,
        "active": (submission("a", done=40, failed=3, reserved_usd=Decimal("0.0312")),),
        "results_dir": "./out",
        "state_file": "./run.db",
    }
    return RunView(**{**values, **changes})


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def console(width: int = 120, height: int = 30, **options: Any) -> Console:
    return Console(file=StringIO(), width=width, height=height, color_system=None, **options)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def last_frame(view: RunView, *, width: int = 120, height: int = 30) -> list[str]:
    """The lines left on a terminal when a run ends with this view."""
    screen = console(width, height, force_terminal=True)
    display = RichBatchProgressDisplay(screen, is_live=True, now=lambda: NOON)
    display.start_progress(view)
    display.finish_progress(view)
    assert isinstance(screen.file, StringIO)
    drawn = screen.file.getvalue().split("\x1b[2K")[-1]
    return [line.rstrip() for line in drawn.replace("\x1b[?25h", "").splitlines()]


def text_of(view: RunView, **size: int) -> str:
    return "\n".join(last_frame(view, **size))


@contextmanager
def live(view: RunView, clock: FakeClock, **options: Any) -> Iterator[RichBatchProgressDisplay]:
    screen = console(force_terminal=True, **options)
    with RichBatchProgressDisplay(screen, is_live=True, clock=clock, now=lambda: NOON) as display:
        display.start_progress(view)
        yield display


def redrawn(display: RichBatchProgressDisplay) -> str:
    """What the display shows now, as its own thread would draw it."""
    screen = console()
    screen.print(display._draw())
    assert isinstance(screen.file, StringIO)
    return screen.file.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        "1,037 of 2,000 jobs",
        "12 failed",
        "10 of 20 batches",
        "$0.4213 spent",
        "≤ $1.2000 reserved",
        "limit $5.00",
        "1.2M tokens in · 340k out",
        "./out",
        "./run.db",
    ],
)
def test_the_header_and_footer_tell_what_a_user_asks(words: str) -> None:
    assert words in text_of(run_view(active=(submission("a", done=37),)))


def test_a_submission_has_one_row_with_its_own_progress_and_bound() -> None:
    row = next(line for line in last_frame(run_view()) if "gpt-5-mini" in line)

    assert row.split()[1:4] == ["openai", "gpt-5-mini", "batch_a"]
    assert row.split()[-5:] == ["40/100", "running", "≤", "$0.0312", "1:15"]


def test_an_inexact_cost_says_so() -> None:
    assert "≈ $0.4213 spent" in text_of(run_view(is_cost_exact=False))


def test_rows_line_up_whatever_they_hold() -> None:
    rows = (
        submission("a", done=7, reserved_usd=Decimal("0.01")),
        submission("b" * 30, model="claude-haiku-4-5-20251001-long-name", provider="anthropic"),
        ended("c", cost_usd=Decimal("12.5"), model="模型"),
    )

    lines = [line for line in last_frame(run_view(active=rows)) if "/100" in line]

    ends = {cell_len(line[: line.index("/100")]) for line in lines}
    assert len(lines) == 3
    assert len(ends) == 1


@pytest.mark.parametrize("width", [30, 44, 60, 80, 100, 120, 250])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows = tuple(submission(str(n), done=n, note="a note" if n == 1 else None) for n in range(5))

    lines = last_frame(run_view(active=rows, note="waiting for the network"), width=width)

    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("height", [6, 16, 24, 60])
def test_a_thousand_submissions_fit_on_the_screen(height: int) -> None:
    rows = tuple(submission(str(n)) for n in range(1000))

    lines = last_frame(run_view(active=rows, submissions_total=1100), height=height)

    assert sum("gpt-5-mini" in line for line in lines) <= 12
    assert len(lines) <= max(height, 12)


def test_what_has_no_room_is_counted() -> None:
    rows = tuple(submission(str(n)) for n in range(100))
    view = run_view(active=rows, submissions_done=10, submissions_waiting=890)

    assert "… and 988 more (88 in flight, 890 waiting, 10 done)" in text_of(view)


def test_what_moves_comes_before_what_waits_and_what_ended() -> None:
    rows = (ended("a"), submission("b", state="queued"), submission("c"))

    lines = [line for line in last_frame(run_view(active=rows)) if "gpt-5-mini" in line]

    assert [line.split()[3] for line in lines] == ["batch_c", "batch_b", "batch_a"]


@pytest.mark.parametrize(
    ("view", "sign", "word"),
    [
        (ended("a"), "✓", "done"),
        (ended("a", state="expired"), "✗", "expired"),
        (ended("a", state="cancelled"), "■", "cancelled"),
        (submission("a", state="unresolved"), "?", "unresolved"),
        (submission("a", state="queued"), "·", "queued"),
        (submission("a", state="completed"), "⠋", "fetching"),
    ],
)
def test_every_state_has_a_sign_and_a_word(view: SubmissionView, sign: str, word: str) -> None:
    row = next(line for line in last_frame(run_view(active=(view,))) if "gpt-5-mini" in line)

    assert row.split()[0] == sign
    assert word in row.split()


def test_a_note_stands_below_its_submission() -> None:
    lines = last_frame(run_view(active=(submission("a", note="the vendor's queue is full"),)))

    row = next(number for number, line in enumerate(lines) if "gpt-5-mini" in line)
    assert lines[row + 1].strip() == "the vendor's queue is full"


def test_a_run_that_still_reads_its_jobs_promises_no_share_and_no_end() -> None:
    text = text_of(run_view(is_taking_in=True))

    assert "2,000 jobs so far" in text
    assert "%" not in text
    assert " left" not in text


def test_a_run_without_submissions_is_shown_too() -> None:
    text = text_of(RunView(run_id="7f3a", total=0, is_complete=True))

    assert "0 of 0 jobs" in text


@pytest.mark.parametrize(
    ("succeeded", "is_complete", "words"),
    [
        (1988, True, "✓ done in 1:00"),
        (1988, False, "■ stopped after 1:00"),
        (5, True, "■ stopped after 1:00"),
    ],
)
def test_the_last_frame_says_how_it_ended(succeeded: int, is_complete: bool, words: str) -> None:
    view = run_view(succeeded=succeeded, is_complete=is_complete)

    assert last_frame(view)[0].startswith(words)


def test_one_picture_can_be_printed_without_a_live_display() -> None:
    screen = console()

    RichBatchProgressDisplay(screen).print_progress(run_view())

    assert isinstance(screen.file, StringIO)
    assert screen.file.getvalue().startswith("batchata  run 7f3a")


def test_time_goes_on_between_views(clock: FakeClock) -> None:
    with live(run_view(), clock) as display:
        clock.seconds += 5

        assert "1:05 · about 50 s left" in redrawn(display)


def test_the_last_view_is_the_one_that_is_drawn(clock: FakeClock) -> None:
    with live(run_view(), clock) as display:
        display.update_progress(run_view(succeeded=1900, active=()))

        assert "1,912 of 2,000 jobs" in redrawn(display)


def test_a_cancelled_run_says_that_it_is_stopping_until_it_has_stopped(clock: FakeClock) -> None:
    with live(run_view(), clock) as display:
        display.handle_cancellation(run_view())
        display.update_progress(run_view())
        while_stopping = redrawn(display)
        display.finish_progress(run_view())

        assert "stopping: nothing new is sent, what is paid for is kept" in while_stopping
        assert "stopping" not in redrawn(display)


def test_leaving_the_block_gives_the_cursor_back(clock: FakeClock) -> None:
    with live(run_view(), clock) as display:
        pass

    assert isinstance(display.console.file, StringIO)
    assert display.console.file.getvalue().endswith("\x1b[?25h")


def test_a_display_can_show_a_second_run(clock: FakeClock) -> None:
    with live(run_view(), clock) as display:
        display.finish_progress(run_view(is_complete=True))
        display.start_progress(run_view(run_id="second"))

        assert "run second" in redrawn(display)


def test_brackets_in_names_are_not_markup() -> None:
    view = run_view(results_dir="./[red]out", active=(submission("a", model="[bold]"),))

    text = text_of(view)

    assert "./[red]out" in text
    assert "[bold]" in text


def test_a_console_without_unicode_gets_plain_signs(clock: FakeClock) -> None:
    file = TextIOWrapper(BytesIO(), encoding="ascii")
    screen = Console(file=file, width=100, force_terminal=True, color_system=None)

    with RichBatchProgressDisplay(screen, is_live=True, clock=clock, now=lambda: NOON) as display:
        display.start_progress(run_view())

    file.flush()
    assert isinstance(file.buffer, BytesIO)
    assert b"< $0.0312" in file.buffer.getvalue()


@pytest.mark.parametrize("forced", [{}, {"force_terminal": True}])
def test_a_file_is_never_animated_even_with_colours_forced(forced: Any) -> None:
    assert not RichBatchProgressDisplay(console(**forced)).is_live


def test_a_notebook_without_widgets_gets_lines_and_no_crash(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    display = RichBatchProgressDisplay(Console(force_jupyter=True), clock=clock)

    display.start_progress(run_view())
    display.finish_progress(run_view())

    assert not display.is_live


def test_a_notebook_with_widgets_shows_the_last_frame(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: shown.append(text))
    for module in fake_notebook():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    display = RichBatchProgressDisplay(Console(force_jupyter=True), clock=clock)

    display.start_progress(run_view())
    display.finish_progress(run_view(succeeded=1988, is_complete=True))

    assert display.is_live
    assert "done in 1:00" in [text for text in shown if text][-1]


def fake_notebook() -> list[ModuleType]:
    """The two modules of a notebook that rich draws with."""

    class Output:
        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def clear_output(self, wait: bool) -> None: ...

    ipython, display, widgets = map(ModuleType, ("IPython", "IPython.display", "ipywidgets"))
    display.display = lambda *_: None  # type: ignore[attr-defined]
    widgets.Output = Output  # type: ignore[attr-defined]
    return [ipython, display, widgets]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_live_calls_have_a_line_that_fits(width: int) -> None:
    view = run_view(active=(), live=LiveView(in_flight=1, jobs_per_second=3.25))

    lines = last_frame(view, width=width)

    assert "  1 call in flight · 3.2 jobs/s · 0 tokens/min"[: width - 1] in "\n".join(lines)
    assert max(map(len, lines)) <= width
