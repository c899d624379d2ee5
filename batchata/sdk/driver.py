"""A run seen from its caller's thread: display, callback, signals, and the loop behind them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from batchata.core.config import LEVELS
from batchata.core.progress import RunView
from batchata.core.status import JobStatus
from batchata.core.submission import Submission
from batchata.engine.feeding import Feed
from batchata.engine.portal import Portal
from batchata.sdk.wiring import Session

log = logging.getLogger("batchata")

#: (stats, elapsed_seconds, batch_data)
ProgressCallback = Callable[[dict[str, Any], float, dict[str, Any]], None]
TICK_SECONDS = 0.1
#: how long a run that is left at once may take to let go of its files
ABORT_SECONDS = 1.0
#: new objects between two looks for garbage: what hundreds of calls in flight hold is no garbage
_NEW_OBJECTS = 10_000


def _nothing() -> None:
    """Do nothing: the callback for a thread with nothing else to do between jobs."""


class Display(Protocol):
    """What shows a run to a person."""

    def start_progress(self, view: RunView) -> None: ...
    def update_progress(self, view: RunView) -> None: ...
    def handle_cancellation(self, view: RunView) -> None: ...
    def finish_progress(self, view: RunView) -> None: ...


class Driver:
    """Runs a session in a loop of its own and watches it from the caller's thread."""

    def __init__(
        self,
        session: Session,
        *,
        display: Display | None,
        callback: ProgressCallback | None,
        interval_seconds: float,
    ) -> None:
        self._session = session
        self._display = display
        self._callback = callback
        self._interval = interval_seconds
        self._portal = Portal()
        self._future: concurrent.futures.Future[None] | None = None
        self._began = time.monotonic()
        self._last_call = self._began - interval_seconds
        self._is_reading = False  #: this thread is in the script's own code
        self._is_interrupted = False
        self._ended_by: BaseException | None = None  #: what ends the process, as a Ctrl-C
        self.view = session.viewer.view()

    def ask_stop(self, reason: str, *, cancels: bool = False, stays: bool = False) -> None:
        """Stop the run from any thread; nothing new is sent from then on."""
        stop = self._session.context.stop
        self._portal.soon(lambda: stop.ask(reason, cancels=cancels, stays=stays))

    def refresh(self) -> RunView:
        """Take a fresh view of the run; keep the last one while it is too busy to give one."""
        if self._future is None or self._future.done():
            return self.view
        asked = self._portal.start(self._look())
        # the loop may be busy, or end before it gets to this
        with contextlib.suppress(
            concurrent.futures.TimeoutError, concurrent.futures.CancelledError
        ):
            self.view = asked.result(timeout=2)
        return self.view

    async def _look(self) -> RunView:
        return self._session.viewer.view()

    def drive(self, *, sends: bool, has_signals: bool) -> None:
        """Run to the end; raises what the run raised, and KeyboardInterrupt after a Ctrl-C."""
        cancels = self._session.config.on_stop == "cancel"
        self._future = self._portal.start(self._session.run(sends=sends))
        try:
            with terminated(lambda: self._on_sigterm(cancels=cancels), is_on=has_signals):
                try:
                    self._show(cancels=cancels)
                    self._read(cancels=cancels, is_callers=has_signals)
                finally:  # whatever comes out of the script: first the run stops in good order
                    self._tick(self._future, cancels=cancels)
        finally:
            self._end(self._future)

    def _on_sigterm(self, *, cancels: bool) -> None:
        self.ask_stop("stop: SIGTERM", cancels=cancels)
        if self._is_reading:  # the script may wait for hours in its own code
            raise Terminated

    def _show(self, *, cancels: bool) -> None:
        """Begin to show a run that may have sent something already."""
        if self._display is not None:
            with self._interrupted_by_errors(cancels=cancels):
                self._display.start_progress(self.view)

    def _read(self, *, cancels: bool, is_callers: bool) -> None:
        """Read the jobs that come while others are being asked.

        Where this thread is the caller's, only it may do that; else a thread reads them that the
        end of the run does not wait for.
        """
        feed = self._session.feed
        if feed is None:
            return
        if not is_callers:
            aside = partial(self._read_aside, feed, cancels=cancels)
            threading.Thread(target=aside, name="batchata-reader", daemon=True).start()
            return
        with self._interrupted_by_errors(cancels=cancels), self._shown():
            self._is_reading = True
            try:
                feed.read(self._between_jobs)
            finally:
                self._is_reading = False

    def _read_aside(self, feed: Feed, *, cancels: bool) -> None:
        try:
            with self._interrupted_by_errors(cancels=cancels):
                feed.read(_nothing)
        except (KeyboardInterrupt, SystemExit) as end:
            self._ended_by = end  # raised again in the run's thread

    @contextlib.contextmanager
    def _interrupted_by_errors(self, *, cancels: bool) -> Iterator[None]:
        is_whole = False
        try:
            yield
            is_whole = True
        finally:
            if not is_whole:
                self._interrupt(cancels=cancels)

    def _interrupt(self, *, cancels: bool) -> None:
        self._is_interrupted = True
        self.ask_stop("stop: interrupted", cancels=cancels)
        if self._display is not None:
            self._display.handle_cancellation(self.view)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[None]:
        """Keep the display up to date while this thread does something else."""
        display, is_over = self._display, threading.Event()
        if display is None:
            yield
            return

        def show() -> None:
            while not is_over.wait(TICK_SECONDS):
                display.update_progress(self.refresh())

        thread = threading.Thread(target=show, name="batchata-display", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _between_jobs(self) -> None:
        if self._callback is not None and self._is_call_due():
            self.refresh()
            self._call_back()

    def _is_call_due(self) -> bool:
        now = time.monotonic()
        if now - self._last_call < self._interval:
            return False
        self._last_call = now
        return True

    def _tick(self, future: concurrent.futures.Future[None], *, cancels: bool) -> None:
        while True:
            try:
                concurrent.futures.wait([future], timeout=TICK_SECONDS)
                if future.done():
                    break
                self.refresh()
                if self._display is not None:
                    self._display.update_progress(self.view)
                if self._is_call_due():
                    self._call_back()
            except KeyboardInterrupt as end:
                if self._is_interrupted:
                    raise  # a second Ctrl-C leaves now; the state file is good as it is
                self._ended_by = end
                self._interrupt(cancels=cancels)
        future.result()
        self._say_what_is_left()
        if self._ended_by is not None:
            raise self._ended_by
        error = self._session.context.stop.error
        if error is not None:
            raise error

    def _say_what_is_left(self) -> None:
        reason = self._session.context.stop.reason
        if reason is None:
            return
        view = self._session.viewer.view(has_ended=True)
        is_left = view.succeeded + view.failed < view.total or view.is_taking_in
        if view.total and is_left:
            log.warning("stopped (%s); %s", reason.removeprefix("stop: "), self.how_to_go_on())

    def _end(self, future: concurrent.futures.Future[None]) -> None:
        if future.done():
            self._portal.close()
            self.view = self._session.viewer.view(has_ended=True)
        elif not self._portal.close(ABORT_SECONDS):
            self._session.abandon()
        if self._display is not None:
            self._display.finish_progress(self.view)
        self._call_back()

    def how_to_go_on(self) -> str:
        """What a stopped run leaves behind, and the command that goes on."""
        config = self._session.config
        left = _left(self._session.state.open_submissions())
        rest = " --pending" if self._session.state.count(JobStatus.PENDING) else ""
        file = self._session.named.state_file
        again = f"run the same script again, or `batchata resume {file}{rest}`,"
        return f"{left}{config.go_on or again} to go on: nothing is paid twice"

    def _call_back(self) -> None:
        if self._callback is None:
            return
        elapsed = time.monotonic() - self._began
        try:
            self._callback(
                self.view.stats(),
                elapsed,
                self._session.batch_data(self.view),
            )
        except Exception:  # a caller's fault is not the run's
            log.exception("on_progress failed")


@contextlib.contextmanager
def log_level(verbosity: str | None) -> Iterator[None]:
    """The level of the `batchata` logger for the time of a run."""
    logger = logging.getLogger("batchata")
    before = logger.level
    if verbosity is not None:
        logger.setLevel(LEVELS[verbosity])
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def rarely_swept() -> Iterator[None]:
    """Let Python look for garbage less often: at its own rate that is a third of a live run's CPU.

    A process that was told another rate keeps it, and so does one that changes it meanwhile.
    """
    before = gc.get_threshold()
    if not 0 < before[0] < _NEW_OBJECTS:
        yield
        return
    ours = (_NEW_OBJECTS, *before[1:])
    gc.set_threshold(*ours)
    try:
        yield
    finally:
        if gc.get_threshold() == ours:
            gc.set_threshold(*before)


@contextlib.contextmanager
def terminated(stop: Callable[[], None], *, is_on: bool) -> Iterator[None]:
    """Turn the first SIGTERM into a stop; afterwards the process ends by it, as it would have."""
    in_main = threading.current_thread() is threading.main_thread()
    if not (is_on and in_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL):
        yield
        return
    came = False

    def handle(number: int, frame: object) -> None:
        nonlocal came
        if came:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        came = True
        stop()

    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if came:
        raise Terminated


class Terminated(BaseException):
    """The run was stopped by SIGTERM; the process ends by that signal when all is closed."""


def _left(opened: Sequence[Submission]) -> str:
    """What a stopped run leaves at the vendors, in words."""
    if not opened:
        return ""
    one, many = "batch", "batches"
    if all(each.route == "background" for each in opened):
        one, many = "response", "responses"
    goes = f"1 {one} goes" if len(opened) == 1 else f"{len(opened)} {many} go"
    return f"{goes} on at the vendor; "
