"""The progress display for terminals and notebooks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from batchata.core.progress import RunView
from batchata.sinks.plain import PlainProgress
from batchata.sinks.progress_frame import Moment, frame

FRAMES_PER_SECOND: Final = 8
STOPPING: Final = "stopping: nothing new is sent, what is paid for is kept"
#: replacements of the display's signs, for consoles that cannot show them
_ASCII: Final = str.maketrans("━╸─·≤≈…✓✗■⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "=>-|<~.+x-|/-\\|/-\\|/")


class RichBatchProgressDisplay:
    """Shows a run in progress; in plain lines where nothing can be redrawn.

    Views may come as often as the run likes, from any thread: taking one only keeps it, and
    rich's own thread draws the last one eight times a second.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        is_live: bool | None = None,
        plain_every_seconds: float = 10,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.is_live = _can_move(self.console) if is_live is None else is_live
        self._clock = clock
        self._now = now or _utc_now
        self._plain = PlainProgress(self._print, clock, plain_every_seconds)
        self._live: Live | None = None
        self._seen: tuple[RunView, float] | None = None
        self._is_stopping = False
        self._is_final = False

    def start_progress(self, view: RunView) -> None:
        """Begin to show a run."""
        self._is_stopping = self._is_final = False
        self._keep(view)
        if not self.is_live:
            self._plain.start_progress(view)
            return
        self._begin()

    def update_progress(self, view: RunView) -> None:
        """Show this view from the next frame on."""
        self._keep(view)
        if not self.is_live:
            self._plain.update_progress(self._stated(view))

    def handle_cancellation(self, view: RunView) -> None:
        """Say that the run is stopping, and keep showing it until `finish_progress`."""
        self._is_stopping = True
        self._keep(view)
        if not self.is_live:
            self._plain.handle_cancellation(self._stated(view))

    def finish_progress(self, view: RunView) -> None:
        """Show how the run ended, and leave that on the screen."""
        self._is_stopping, self._is_final = False, True
        self._keep(view)
        if not self.is_live:
            self._plain.finish_progress(view)
        self._stop()

    @contextmanager
    def aside(self) -> Iterator[Console]:
        """Take the live display off the screen, so that something else can be shown or asked."""
        was_shown = self._live is not None
        self._stop()
        try:
            yield self.console
        finally:
            if was_shown and not self._is_final:
                self._begin()

    def print_progress(self, view: RunView) -> None:
        """Print the run once as it is now, and nothing more."""
        self._is_final = False
        self._keep(view)
        self.console.print(self._draw())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _keep(self, view: RunView) -> None:
        self._seen = (view, self._clock())

    def _begin(self) -> None:
        self._stop()
        self._live = Live(
            console=self.console,
            get_renderable=self._draw,
            refresh_per_second=FRAMES_PER_SECOND,
            # what the caller prints goes above the display, but never from a pipe into it
            redirect_stdout=sys.stdout.isatty() or self.console.is_jupyter,
            redirect_stderr=sys.stderr.isatty() or self.console.is_jupyter,
        )
        self._live.start(refresh=True)

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        if self.console.is_jupyter:
            live.refresh()  # rich leaves the last frame out there
        live.stop()

    def _stated(self, view: RunView) -> RunView:
        if self._is_stopping and view.note is None:
            return replace(view, note=STOPPING)
        return view

    def _draw(self) -> Group:
        if self._seen is None:
            return Group()
        view, seen_at = self._seen
        moment = Moment(
            width=self.console.width,
            height=self.console.height,
            now=self._now(),
            drift_seconds=0.0 if self._is_final else max(0.0, self._clock() - seen_at),
            is_final=self._is_final,
        )
        lines = frame(self._stated(view), moment)
        return Group(*(self._finished(line) for line in lines))

    def _finished(self, line: Text) -> Text:
        line.no_wrap, line.overflow = True, "ellipsis"
        if self.console.options.ascii_only:
            line.plain = line.plain.translate(_ASCII)
            line.overflow = "crop"
        return line

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _can_move(console: Console) -> bool:
    if console.is_jupyter:
        return _has_widgets()
    # colours may be forced on in CI, where a live display is still of no use
    return console.is_interactive and console.file.isatty()


def _has_widgets() -> bool:
    try:
        import_module("IPython.display")
        import_module("ipywidgets")
    except ImportError:
        return False
    return True
