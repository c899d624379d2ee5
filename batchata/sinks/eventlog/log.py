"""The event log: any number of threads and tasks write to it, and one thread stores it."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, Self

from batchata.core.errors import EventLogError, ValidationError
from batchata.core.job import check_number
from batchata.core.logged import LoggedEvent
from batchata.sinks.eventlog.journal import Journal, create, lines_of, orphans
from batchata.sinks.eventlog.place import Place, journal_dir_of, place_of
from batchata.sinks.eventlog.row_maker import RowMaker
from batchata.sinks.eventlog.segment import Segment
from batchata.sinks.eventlog.spans import Spans
from batchata.sinks.eventlog.table import PartitionOn, Rows, import_pyarrow

log = logging.getLogger("batchata.events")

#: beyond this the events of a file are dropped from memory, and read back from its journal
_MOST_ROWS: Final = 10_000
_MOST_BYTES: Final = 4 * 1024 * 1024
#: events kept in memory while no disk can be written to
_MOST_HOMELESS: Final = 100_000
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0
_LONGEST_NAP: Final = 5.0
#: least seconds between two files: writing one costs as much as hundreds of events
_BREATH: Final = 0.25


class EventLog:
    """Writes events as Parquet below `where`: a folder, `s3://…` or any other fsspec address.

    An event is in a journal on this machine's disk when `write` returns, so that a killed
    process loses none: the next log of the same place writes what it left. Files are written
    when `buffer_size` events are there or the oldest is `flush_seconds` old, four a second at
    most. What cannot be written stays in its journal and is tried again; `error` says why, and
    with `on_failure="error"` the next call raises it. Keys and passwords are removed: by the name
    they stand under, by their shape, and where they are among `secrets`.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        *,
        buffer_size: int = 1000,
        flush_seconds: float = 5.0,
        partition_on: PartitionOn = "date",
        provider: str = "",
        logger_metadata: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
        also: Iterable[str | os.PathLike[str] | Place] = (),
        journal_dir: str | os.PathLike[str] | None = None,
        on_failure: Literal["continue", "error"] = "continue",
        filesystem: Any = None,
        spans: Spans | None = None,
    ) -> None:
        check_number("buffer_size", buffer_size, least=1, whole=True)
        check_number("flush_seconds", flush_seconds, least=0)
        if partition_on not in ("date", None):
            raise ValidationError(
                f"partition_on is {partition_on!r}", hint='write partition_on="date", or None'
            )
        if on_failure not in ("continue", "error"):
            raise ValidationError(
                f"on_failure is {on_failure!r}", hint="on_failure is 'continue' or 'error'"
            )
        import_pyarrow()
        self._places: list[Place] = [place_of(where, filesystem), *map(place_of, also)]
        self.journal_dir = journal_dir_of(self._places[0], journal_dir)
        self._maker = RowMaker(secrets, provider, logger_metadata or {})
        self._partition_on: PartitionOn = partition_on
        self._size, self._seconds = int(buffer_size), float(flush_seconds)
        self._raises = on_failure == "error"
        self._spans = spans
        self.error: EventLogError | None = None  #: why the last file could not be written
        self.lost = 0  #: events for which neither disk nor memory had room
        self._is_closed = False
        self._begin()

    def _begin(self) -> None:
        """Set up everything that belongs to this process alone."""
        self._pid = os.getpid()
        self._lock = threading.Lock()  #: held for microseconds, even by event loops
        self._writing = threading.RLock()  #: held while files are written
        self._changed = threading.Condition(self._lock)
        self._rows = Rows(self._maker.metadata)
        self._bytes = 0
        self._since = 0.0
        self._journal: Journal | None = None
        self._full: list[Segment] = []  #: segments to be written
        self._thread: threading.Thread | None = None
        self._has_adopted = False
        self._failures = 0
        self._drained_at = -inf

    @property
    def place(self) -> Place:
        """Where it writes to, for reading back with `read_events`."""
        return self._places[0]

    @property
    def url(self) -> str:
        """The address of the log, without any key that was in it."""
        return self._places[0].url

    @property
    def is_safe(self) -> bool:
        """True when every event is in its place or in a journal, and none only in memory."""
        with self._lock:
            waiting = [*self._full, Segment(self._journal, self._rows)]
        return not self.lost and not any(each.rows and each.journal is None for each in waiting)

    def write(self, event: LoggedEvent) -> None:
        """Keep one event; it is on this machine's disk when this returns."""
        self._own()
        self._take(self._maker.row(event))

    def write_many(self, events: Iterable[LoggedEvent], *, redact_names: bool = True) -> None:
        """Keep several events; they are on this machine's disk when this returns.

        `redact_names=False` when nothing in them stands under the name of a secret any more.
        """
        self._own()
        self._take(self._maker.rows(events, redact_names=redact_names))

    def _take(self, rows: Rows) -> None:
        lines = lines_of(rows)
        with self._lock:
            if self._is_closed:
                raise EventLogError(
                    f"the event log {self.url} is closed", hint="open another EventLog"
                )
            if rows:
                self._keep(rows, lines)
        if self._spans is not None:
            self._spans.write(rows)
        if self._raises and self.error is not None:
            raise self.error

    def flush(self) -> bool:
        """Write everything so far; True when all of it is in its place.

        With `on_failure="error"` raises EventLogError instead of returning False.
        """
        self._own()
        is_whole = self._drain()
        if not is_whole and self._raises and self.error is not None:
            raise self.error
        return is_whole

    def close(self) -> bool:
        """Flush and end; what could not be written is in `journal_dir` for the next log."""
        self._own()
        with self._changed:
            if self._is_closed:
                return not self._full
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        is_whole = self._drain()
        with self._writing:
            self._shelter()
            for each in self._full:
                if each.journal is not None:
                    each.journal.let_go()
        if not is_whole and self._raises and self.error is not None:
            raise self.error
        return is_whole

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _own(self) -> None:
        """Start afresh after a fork: the parent writes its own events."""
        if self._pid != os.getpid():
            for journal in [*(each.journal for each in self._full), self._journal]:
                if journal is not None:
                    journal.let_go()
            self._begin()

    def _keep(self, rows: Rows, lines: bytes) -> None:
        self._journalise(lines, len(rows))
        before = len(self._rows)
        self._rows.extend(rows)
        self._bytes += len(lines)
        if not before:
            self._since = time.monotonic()
            _UNWRITTEN.add(self)
            self._start()
        now = len(self._rows)
        if not before or before < self._size <= now:
            self._changed.notify_all()
        if now >= _MOST_ROWS or self._bytes >= _MOST_BYTES:
            self._spill()

    def _journalise(self, lines: bytes, count: int) -> None:
        try:
            if self._journal is not None:
                self._journal.append(lines)
            elif not self._rows:  # else memory holds events that no journal has
                self._journal = create(self.journal_dir, self._maker.metadata)
                self._journal.append(lines)
            elif len(self._rows) >= _MOST_HOMELESS:
                self.lost += count
                raise EventLogError(
                    f"{self.lost} events are lost: neither {self.url} nor {self.journal_dir} can "
                    f"be written, and memory holds {len(self._rows)} others"
                )
        except OSError as error:
            self._spill()
            self.error = EventLogError(
                f"{self.journal_dir} cannot be written: {error.strerror or error}"
            )
            log.error("%s; events are held in memory until they are", self.error.message)

    def _spill(self) -> None:
        """Free the memory of these events: they stay in their journal until it is their turn."""
        if self._journal is not None:
            self._full.append(Segment(self._journal))
            self._journal, self._rows, self._bytes = None, Rows(self._maker.metadata), 0
            self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=_write_on, args=(weakref.ref(self),), name="batchata-events", daemon=True
            )
            self._thread.start()

    def _work(self) -> bool:
        """Write what is due, or wait a little; False when the thread is no longer needed."""
        with self._changed:
            if self._is_closed or not (self._rows or self._full):
                self._thread = None
                return False
            wait = self._wait_seconds()
            if wait > 0:
                self._changed.wait(min(wait, _LONGEST_NAP))
                return True
        self._drain()
        return True

    def _wait_seconds(self) -> float:
        now = time.monotonic()
        if self._failures:
            wait = _FIRST_WAIT * float(2 ** min(self._failures - 1, 10))
            return self._drained_at + min(wait, _LONGEST_WAIT) - now
        if self._full:
            return 0.0
        due = self._since + self._seconds
        if len(self._rows) >= self._size:
            due = min(due, self._drained_at + _BREATH)
        return due - now

    def _drain(self) -> bool:
        """Write every segment; True when none is left."""
        with self._writing:
            self._adopt()
            with self._lock:
                if self._rows:
                    self._full.append(Segment(self._journal, self._rows))
                    self._journal, self._rows, self._bytes = None, Rows(self._maker.metadata), 0
                waiting = list(self._full)
            failed = [each for each in waiting if not self._has_delivered(each)]
            with self._lock:
                self._failures = self._failures + 1 if failed else 0
                self._drained_at = time.monotonic()
                if not failed:
                    self.error = None
                if not self._full and not self._rows:
                    _UNWRITTEN.discard(self)
            return not failed

    def _has_delivered(self, segment: Segment) -> bool:
        try:
            segment.deliver(self._places, self._partition_on)
        except EventLogError as error:
            self._complain(error, segment.journal)
            if segment.journal is not None:
                segment.rows = Rows()
            return False
        with self._lock:
            self._full.remove(segment)
        return True

    def _shelter(self) -> None:
        """As this process ends, save events that only memory holds to the temporary folder."""
        user = os.getuid() if hasattr(os, "getuid") else ""  # others' are closed to us
        folder = Path(tempfile.gettempdir(), f"batchata-events-{user}")
        for each in [each for each in self._full if each.journal is None and each.rows]:
            count = len(each.rows)
            try:
                journal = create(folder, self._maker.metadata)
                journal.append(lines_of(each.rows))
            except OSError as error:
                self.lost += count
                log.error("%d events of %s are lost: %s", count, self.url, error)
            else:
                each.journal, each.rows = journal, Rows()
                told = "%d events of %s are in %s: EventLog(..., journal_dir=%r) writes them there"
                log.error(told, count, self.url, journal.path, str(folder))

    def _adopt(self) -> None:
        """Take over what dead processes left behind."""
        if self._has_adopted:
            return
        self._has_adopted = True
        try:
            found = [Segment(journal, is_adopted=True) for journal in orphans(self.journal_dir)]
        except OSError as error:
            log.error("journals in %s cannot be read: %s", self.journal_dir, error)
            return
        if found:
            log.info("writing the events of %d processes that did not end well", len(found))
        with self._lock:
            self._full[:0] = found

    def _complain(self, error: EventLogError, journal: Journal | None) -> None:
        kept = f"its events are safe in {journal.path}" if journal else "its events are in memory"
        if self.error is None or self._failures < 1:
            log.error("%s; %s, and it will be tried again", error.message, kept)
        self.error = error


#: logs with unwritten events; kept alive until these are written, even if nobody else holds them
_UNWRITTEN: set[EventLog] = set()


def _write_on(reference: weakref.ref[EventLog]) -> None:
    """The writing thread; it does not keep the log alive."""
    while True:
        found = reference()
        if found is None or not found._work():
            return
        del found


@atexit.register
def _write_all() -> None:
    for each in list(_UNWRITTEN):
        for end in each.flush, each.close:
            with contextlib.suppress(EventLogError):  # it was reported when it happened
                end()
