"""One execution of a batch: handle, status and results."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from batchata.core.budget import CostTracker
from batchata.core.config import Attached, RunConfig, check_callable
from batchata.core.errors import RunError
from batchata.core.estimate import Estimate
from batchata.core.events import Event
from batchata.core.job import Job, check_number
from batchata.core.pilot import Decide, PilotReport
from batchata.core.progress import RunView
from batchata.core.result import JobResult
from batchata.ports import Provider
from batchata.providers.control import ProviderSettings
from batchata.rows.joining import join
from batchata.rows.source import RowSource
from batchata.sdk.display import make_display, print_view, show_estimate, show_pilot
from batchata.sdk.driver import (
    TICK_SECONDS,
    Driver,
    ProgressCallback,
    Terminated,
    log_level,
    rarely_swept,
)
from batchata.sdk.estimate import make_estimate
from batchata.sdk.legacy_run import LegacyRun
from batchata.sdk.results import Results, Tail, to_frame
from batchata.sdk.wiring import Parts, Session
from batchata.sinks.results import make_folder
from batchata.stores.files import check_file
from batchata.stores.manager import StateManager

if TYPE_CHECKING:
    from batchata.sinks.terminal import RichBatchProgressDisplay

log = logging.getLogger("batchata")


class BatchRun(LegacyRun):
    """A run of jobs: `start()` or `execute()` it once, then ask for its status and results."""

    def __init__(
        self,
        config: RunConfig,
        jobs: Iterable[Job],
        *,
        providers: Mapping[str, ProviderSettings] | None = None,
        made: Mapping[str, Provider] | None = None,
        decide: Decide | None = None,
        rows: RowSource | None = None,
        watcher: Callable[[Event], None] | None = None,
    ) -> None:
        self.config = config
        self.estimate: Estimate | None = None
        self.pilot: PilotReport | None = None  #: what `add_pilot()` showed, once it is known
        self._jobs = jobs
        self._watcher = watcher  #: is told of every event, in the thread that it happens in
        self._rows = rows  #: what all of the jobs were made of, if they were made of one thing
        self._parts = Parts(
            config, dict(providers or {}), providers=dict(made or {}), decide=decide
        )
        self._session: Session | None = None
        self._driver: Driver | None = None
        self._on_progress: ProgressCallback | None = None
        self._interval = 1.0
        self._thread: threading.Thread | None = None
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._results: Results | None = None
        self._is_started = False
        self._early_stop: tuple[str, bool, bool] | None = None
        self._attached: Attached | None = None  #: to a state file, without a script

    @classmethod
    def attach(
        cls,
        state_file: str | Path,
        *,
        config: RunConfig | None = None,
        providers: Mapping[str, ProviderSettings] | None = None,
        send_pending: bool = False,
    ) -> BatchRun:
        """A run of what a state file holds, without its script: it collects what is in flight.

        A batch that was on its way when a run was killed is looked up, and sent if the vendor does
        not have it; with `send_pending` the jobs that were never sent go out too. Raises StateError
        if there is no state file.
        """
        check_file(Path(state_file), must_exist=True)
        base = config or RunConfig()
        run = cls(replace(base, state_file=Path(state_file)), (), providers=providers)
        run._attached = "pending" if send_pending else "in_flight"
        return run

    def retry_failed(self, *, print_status: bool = False) -> BatchRun:
        """Ask again, in a new run, what failed, was cancelled or was skipped in this one.

        Works on a run that has ended, or on one made by `attach()`. Failures of every kind are
        tried, including those that a run does not retry by itself: remove the cause first.
        """
        if self._is_started and not self._done.is_set():
            raise RunError("the run is still going on", hint="wait for it: run.wait()")
        config = self.config if self._session is None else self._session.config
        run = BatchRun(config, (), providers=self._parts.settings, decide=self._parts.decide)
        run._parts.models = self._parts.models
        run._attached = "failed"
        return run.execute(print_status=print_status)

    def set_on_progress(self, callback: ProgressCallback | None, interval: float = 1.0) -> Self:
        """Call `callback(stats, elapsed_seconds, batch_data)` every `interval` s and at the end.

        An exception in it is logged and does not touch the run.
        """
        check_callable("on_progress", callback)
        check_number("progress_interval", interval, least=0)
        self._on_progress, self._interval = callback, float(interval)
        return self

    def execute(self, *, print_status: bool = False) -> Self:
        """Run to the end in this thread.

        Ctrl-C stops the run in good order, says how to resume it, and raises KeyboardInterrupt; a
        second one leaves at once. Raises StateError, ResultsError and AccountStoppedError.
        """
        self._begin()
        try:
            self._drive(print_status, has_signals=True)
        finally:
            self._done.set()
        return self

    def start(self, *, print_status: bool = False) -> Self:
        """Run in the background and return at once."""
        self._begin()
        self._thread = threading.Thread(
            target=self._background, args=(print_status,), name="batchata-run", daemon=True
        )
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the run to end, at most `timeout` seconds; True once it has.

        Raises what the run raised.
        """
        self._done.wait(timeout)
        if not self._done.is_set():
            return False
        if self._error is not None:
            raise self._error
        return True

    def stop(self, reason: str = "stop: asked by the caller") -> None:
        """Send nothing new, keep what is paid for, and leave batches in flight to the next run."""
        self._ask_stop(reason, cancels=self.config.on_stop == "cancel")

    def cancel(self) -> None:
        """Ask the vendors to cancel what is in flight, and end every job that was not sent.

        The run goes on until the vendors have stopped: what they answered before that is paid for
        and collected. `stop()` does not wait for it.
        """
        self._ask_stop("cancelled: by the user", cancels=True, stays=True)

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
        return self._done.is_set() and self._driver is not None and self._driver.view.is_complete

    @property
    def view(self) -> RunView:
        """The run now, as plain numbers; RunError before it was started."""
        session, driver = self._opened(), self._driver
        if driver is None:
            return replace(session.viewer.view(), is_taking_in=True)
        return driver.view if self._done.is_set() else driver.refresh()

    @property
    def cost_tracker(self) -> CostTracker:
        """Money spent and set aside, over all runs of the state file."""
        return self._opened().state.cost

    @property
    def state_manager(self) -> StateManager:
        """The state file, seen from outside of the run; RunError before the run was started."""
        self._opened()
        return StateManager(self._state_file())

    def status(self, print_status: bool = False) -> dict[str, Any]:
        """Counts, costs in USD and batches of the run; with `print_status` also as a table."""
        view = self.view
        if print_status:
            print_view(view)
        return view.stats()

    def __repr__(self) -> str:
        if self._driver is None:
            return f"BatchRun({'starting' if self._is_started else 'not started'})"
        stats = self.status()
        names = ("completed", "failed", "cancelled", "skipped", "pending")
        counts = ", ".join(f"{name}={stats[name]}" for name in names)
        return f"BatchRun({counts}, cost=${stats['cost_usd']:f})"

    def results(self) -> Results:
        """Every job of the run, with how it has ended so far."""
        if self._results is not None:
            return self._results
        session = self._opened()
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
            await asyncio.sleep(TICK_SECONDS)
        tail = Tail(self._state_file(), self._parts.bind) if self._session else None
        while tail is not None:
            is_last = self._done.is_set()
            while found := await asyncio.to_thread(tail.more):
                for result in found:
                    yield result
            if is_last:
                tail.close()
                break
            await asyncio.sleep(TICK_SECONDS)
        self.wait()

    def to_dataframe(self) -> Any:
        """The results as a table: one row a job, one column a field of the answer.

        After `add_rows` it is the table that was given, with its rows, order and types, and the
        answers beside them; otherwise a pandas DataFrame.
        """
        table = self._rows.table() if self._rows is not None else None
        if table is None or self._session is None:
            return to_frame(self.results())
        properties = self._rows.properties if self._rows is not None else {}
        return join(table, self.results().at(self._session.order), properties)

    def dry_run(self) -> Estimate:
        """Print what the run would send and cost; nothing is sent or written."""
        estimate = self.make_estimate()
        show_estimate(estimate)
        return estimate

    def make_estimate(self) -> Estimate:
        """What the run would send and cost, also kept as `estimate`."""
        self.estimate = make_estimate(self._parts, self._jobs)
        return self.estimate

    def _opened(self) -> Session:
        """The run's session, waited for while it opens its files."""
        if not self._is_started:
            raise RunError("the run was not started", hint="call start() or execute() first")
        while self._session is None and not self._done.wait(TICK_SECONDS / 10):
            pass
        if self._session is None:
            raise self._error or RunError("the run ended before it had begun")
        return self._session

    def _state_file(self) -> Path:
        session = self._session
        path = session.config.state_file if session is not None else None
        return path or Path()

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
        with log_level(self.config.verbosity), rarely_swept():
            _make_room(self.config)
            session = self._session = Session(self._parts, keeps_limit=self._attached is not None)
            if self._watcher is not None:
                session.sinks.watch(self._watcher)
            if self._early_stop is not None:
                reason, cancels, stays = self._early_stop
                session.context.stop.ask(reason, cancels=cancels, stays=stays)
            try:
                if self._attached is None:
                    session.take(self._jobs, while_asking=True)
                else:
                    session.attach(self._attached)
                display = make_display() if print_status else None
                session.context.decide = partial(self._decide, display)
                self._driver = Driver(
                    session,
                    display=display,
                    callback=self._on_progress,
                    interval_seconds=self._interval,
                )
                self._driver.drive(sends=self._attached != "in_flight", has_signals=has_signals)
            except Terminated:
                session.close()
                signal.raise_signal(signal.SIGTERM)
            finally:
                error = session.close()
        if error is not None:
            raise error

    def _decide(self, display: RichBatchProgressDisplay | None, report: PilotReport) -> bool:
        """Keep what a pilot showed, and ask whoever was named whether to go on."""
        self.pilot, decide = report, self._parts.decide
        if display is None:
            return decide is None or decide(report)
        with display.aside() as console:
            if decide is not None:
                return decide(report)
            show_pilot(report, console)
        return True

    def _ask_stop(self, reason: str, *, cancels: bool, stays: bool = False) -> None:
        if self._done.is_set() or not self._is_started:
            return
        if self._session is None:
            self._early_stop = (reason, cancels, stays)
        elif self._driver is None:  # jobs are still being taken in: no loop waits for the event yet
            self._session.context.stop.ask(reason, cancels=cancels, stays=stays)
        else:
            self._driver.ask_stop(reason, cancels=cancels, stays=stays)


def _make_room(config: RunConfig) -> None:
    """Make the results folder where the state file is to be in it."""
    folder, file = config.results_dir, config.state_file
    if folder is not None and file is not None and folder in file.parents:
        make_folder(folder)


__all__ = ["BatchRun", "Estimate", "Results"]
