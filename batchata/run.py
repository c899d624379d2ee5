"""One execution of a batch: handle, status and results."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import logging
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchata.core.config import LEVELS, RunConfig
from batchata.core.errors import RunError
from batchata.core.job import Job, check_number
from batchata.core.progress import RunView
from batchata.core.result import JobResult
from batchata.engine.portal import Portal
from batchata.estimate import Estimate, make_estimate
from batchata.providers.control import ProviderSettings
from batchata.results import Results, to_frame
from batchata.stores.reader import ResultReader
from batchata.wiring import Parts, Session

if TYPE_CHECKING:
    from typing import Self

    from batchata.sinks.terminal import RichBatchProgressDisplay

log = logging.getLogger("batchata")

ProgressCallback = Callable[[dict[str, Any], float, dict[str, Any]], None]
_TICK_SECONDS = 0.1


class BatchRun:
    """A run of jobs: `start()` or `execute()` it once, then ask for its status and results."""

    def __init__(
        self,
        config: RunConfig,
        jobs: Iterable[Job],
        *,
        providers: Mapping[str, ProviderSettings] | None = None,
    ) -> None:
        self.config = config
        self.estimate: Estimate | None = None
        self._jobs = jobs
        self._parts = Parts(config, dict(providers or {}))
        self._session: Session | None = None
        self._portal: Portal | None = None
        self._view: RunView | None = None
        self._on_progress: ProgressCallback | None = None
        self._interval = 1.0
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._results: Results | None = None
        self._is_started = False
        self._attached: bool | None = None  #: to a state file: also send what is pending?

    @classmethod
    def attach(
        cls,
        state_file: str | Path,
        *,
        config: RunConfig | None = None,
        providers: Mapping[str, ProviderSettings] | None = None,
        send_pending: bool = False,
    ) -> BatchRun:
        """A run of what a state file holds, without its script: collects what is in flight.

        With `send_pending` the jobs that were never sent go out too.
        """
        from dataclasses import replace

        base = config or RunConfig()
        run = cls(replace(base, state_file=Path(state_file)), (), providers=providers)
        run._attached = send_pending
        return run

    def set_on_progress(self, callback: ProgressCallback | None, interval: float = 1.0) -> Self:
        """Call `callback(stats, elapsed_seconds, batch_data)` every `interval` s and at the end.

        An exception in it is logged and does not touch the run.
        """
        check_number("progress_interval", interval, least=0)
        self._on_progress, self._interval = callback, float(interval)
        return self

    def execute(self, *, print_status: bool = False) -> Self:
        """Run to the end in this thread.

        Ctrl-C stops the run in good order, says how to go on, and raises KeyboardInterrupt; a
        second one leaves at once. Raises StateError, ResultsError and AccountStoppedError.
        """
        self._begin()
        try:
            self._drive(print_status, has_signals=True)
        finally:
            self._done.set()
        return self

    def start(self, *, print_status: bool = False) -> Self:
        """Run in the background and come back at once."""
        self._begin()
        self._thread = threading.Thread(
            target=self._background, args=(print_status,), name="batchata-run", daemon=True
        )
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; True when it has come.

        Raises what the run raised.
        """
        self._done.wait(timeout)
        if not self._done.is_set():
            return False
        if self._error is not None:
            raise self._error
        return True

    def stop(self, reason: str = "stop: asked by the caller") -> None:
        """Send nothing new, keep what is paid for; batches in flight are left to the next run."""
        self._ask_stop(reason, cancels=self.config.on_stop == "cancel")

    def cancel(self) -> None:
        """Ask the vendors to cancel what is in flight, and end every job that was not sent."""
        self._ask_stop("cancelled: by the user", cancels=True)

    def shutdown(self, wait_for_active: bool = True) -> None:
        """Stop the run; with `wait_for_active` wait until it has stopped."""
        if not self._is_started:
            return
        self.stop()
        if wait_for_active:
            self._done.wait()

    @property
    def is_complete(self) -> bool:
        """True when the run has ended and no job is pending or at a vendor."""
        view = self._view
        return self._done.is_set() and view is not None and view.done == view.total

    @property
    def view(self) -> RunView:
        """The run now, as plain numbers; RunError before it was started."""
        if not self._done.is_set():
            self._refresh()
        if self._view is None:
            raise RunError("the run was not started", hint="call start() or execute() first")
        return self._view

    def status(self, print_status: bool = False) -> dict[str, Any]:
        """Counts, costs in USD and batches of the run; with `print_status` also as a table."""
        view = self.view
        if print_status:
            from batchata.sinks.terminal import RichBatchProgressDisplay

            RichBatchProgressDisplay().finish_progress(view)
        return view.stats()

    def results(self) -> Results:
        """Every job of the run with how it ended so far."""
        if self._results is not None:
            return self._results
        session = self._session
        if session is None:
            raise RunError("the run was not started", hint="call start() or execute() first")
        path = session.config.state_file or Path()
        found = Results(path, bytes(session.state.wanted), self._parts.bind)
        if self._done.is_set():
            self._results = found
        return found

    async def stream(self) -> AsyncIterator[JobResult]:
        """Results as they come, from async code; starts the run if that was not done."""
        if not self._is_started:
            await asyncio.to_thread(self.start)
        while self._session is None and not self._done.is_set():
            await asyncio.sleep(_TICK_SECONDS)
        number, reader = 0, None
        while True:
            is_last = self._done.is_set()
            if reader is None and self._session is not None:
                reader = ResultReader(self._state_file(), bind=self._parts.bind)
            while reader is not None:
                after, found = await asyncio.to_thread(reader.after, number)
                for result in found:
                    yield result
                if after == number:
                    break
                number = after
            if is_last:
                break
            await asyncio.sleep(_TICK_SECONDS)
        if reader is not None:
            reader.close()
        self.wait()

    def to_dataframe(self) -> Any:
        """The results as a pandas DataFrame: one row a job, one column a field of the answer."""
        return to_frame(self.results())

    def to_json(self) -> str:
        """Status and results as JSON text."""
        status = {name: _plain(value) for name, value in self.status().items()}
        found = [result.to_dict() for result in self.results().iter_all()]
        return json.dumps({"status": status, "results": found}, ensure_ascii=False)

    def dry_run(self) -> Estimate:
        """Print what the run would send and cost; nothing is sent or written."""
        from batchata.sinks.tables import print_estimate

        estimate = self.make_estimate()
        print_estimate(estimate)
        return estimate

    def make_estimate(self) -> Estimate:
        """What the run would send and cost, also kept as `estimate`."""
        self.estimate = make_estimate(self._parts, self._jobs)
        return self.estimate

    def _begin(self) -> None:
        if self._is_started:
            raise RunError(
                "Batch run already started", hint="make another run: batch.run() or batch.start()"
            )
        self._is_started = True

    def _background(self, print_status: bool) -> None:
        try:
            self._drive(print_status, has_signals=False)
        except BaseException as error:  # handed to wait()
            self._error = error
            log.debug("the run ended with %s", type(error).__name__, exc_info=error)
        finally:
            self._done.set()

    def _drive(self, print_status: bool, *, has_signals: bool) -> None:
        with _level(self.config.verbosity):
            session = self._session = Session(self._parts)
            try:
                self._take(session)
                self._watch(session, print_status, has_signals=has_signals)
            finally:
                error = session.close()
                self._view = session.viewer.view(is_complete=True)
        if error is not None:
            raise error

    def _take(self, session: Session) -> None:
        if self._attached is None:
            session.take(self._jobs)
        else:
            session.want_all(pending=self._attached)

    def _watch(self, session: Session, print_status: bool, *, has_signals: bool) -> None:
        portal = self._portal = Portal()
        display = _display() if print_status else None
        sends = self._attached is not False
        future = portal.start(session.run(sends=sends))
        began = time.monotonic()
        try:
            self._show(display, "start_progress")
            with _terminated(lambda: self.stop("stop: SIGTERM"), is_on=has_signals):
                self._tick(future, display, began)
        finally:
            if future.done():
                portal.close()
            self._view = session.viewer.view(is_complete=future.done())
            self._portal = None
            if display is not None:
                display.finish_progress(self._view)
            self._call_back(time.monotonic() - began)

    def _tick(
        self,
        future: concurrent.futures.Future[None],
        display: RichBatchProgressDisplay | None,
        began: float,
    ) -> None:
        last_call = began - self._interval
        interrupted = False
        while True:
            try:
                concurrent.futures.wait([future], timeout=_TICK_SECONDS)
                if future.done():
                    break
                self._refresh()
                self._show(display, "update_progress")
                if time.monotonic() - last_call >= self._interval:
                    last_call = time.monotonic()
                    self._call_back(last_call - began)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self.stop("stop: interrupted")
                self._show(display, "handle_cancellation")
        future.result()
        if interrupted:
            log.warning("stopped; %s", self._how_to_go_on())
            raise KeyboardInterrupt
        session = self._session
        if session is not None and session.context.stop.error is not None:
            raise session.context.stop.error

    def _how_to_go_on(self) -> str:
        session = self._session
        if session is None:
            return "nothing was sent"
        in_flight = len(session.state.open_submissions())
        return (
            f"{in_flight} batches go on at the vendor; run the same script again, or "
            f"`batchata resume {self._state_file()}`, to collect them"
        )

    def _state_file(self) -> Path:
        session = self._session
        path = session.config.state_file if session is not None else None
        return path or Path()

    def _ask_stop(self, reason: str, *, cancels: bool) -> None:
        portal, session = self._portal, self._session
        if portal is None or session is None:
            return
        portal.soon(lambda: session.context.stop.ask(reason, cancels=cancels))

    def _refresh(self) -> None:
        portal, session = self._portal, self._session
        if portal is None or session is None:
            return

        async def look() -> RunView:
            return session.viewer.view()

        asked = portal.start(look())
        try:
            self._view = asked.result(timeout=5)
        except (concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            log.debug("the run is busy; its last view is shown")

    def _show(self, display: RichBatchProgressDisplay | None, method: str) -> None:
        if display is None:
            return
        if self._view is None:
            self._refresh()
        if self._view is not None:
            getattr(display, method)(self._view)

    def _call_back(self, elapsed: float) -> None:
        callback, view = self._on_progress, self._view
        if callback is None or view is None:
            return
        try:
            callback(view.stats(), elapsed, view.batch_data())
        except Exception:  # a caller's fault is not the run's
            log.exception("on_progress failed")


class _level:  # noqa: N801 - reads as a word in a with statement
    """The level of the `batchata` logger for the time of a run."""

    def __init__(self, verbosity: str | None) -> None:
        self._level = LEVELS.get(verbosity or "")
        self._logger = logging.getLogger("batchata")

    def __enter__(self) -> None:
        self._before = self._logger.level
        if self._level is not None:
            self._logger.setLevel(self._level)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._before)


class _terminated:  # noqa: N801 - reads as a word in a with statement
    """Turns the first SIGTERM into a stop; afterwards the process ends by it, as it would have."""

    def __init__(self, stop: Callable[[], None], *, is_on: bool) -> None:
        in_main = threading.current_thread() is threading.main_thread()
        self._stop = stop
        self._is_on = is_on and in_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        self._came = False

    def __enter__(self) -> None:
        if self._is_on:
            signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        if self._came:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        self._came = True
        self._stop()

    def __exit__(self, *_: object) -> None:
        if not self._is_on:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._came:
            log.warning("stopped by SIGTERM")
            signal.raise_signal(signal.SIGTERM)


def _display() -> RichBatchProgressDisplay:
    from batchata.sinks.terminal import RichBatchProgressDisplay

    return RichBatchProgressDisplay()


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else float(value)


__all__ = ["BatchRun", "Estimate", "Results"]
