"""The state file: one SQLite database that survives a power cut between any two writes."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from batchata.core.document import Attachment
from batchata.core.errors import BatchataError, StateError
from batchata.core.events import Durable
from batchata.core.state import RunState
from batchata.core.status import CODES, JobStatus
from batchata.core.submission import Outcome
from batchata.disk.atomic import numbered_name
from batchata.stores import schema
from batchata.stores.files import (
    check_file,
    disk_error,
    fold_log,
    is_full,
    shortage,
)
from batchata.stores.identity import Identity
from batchata.stores.loading import Loader
from batchata.stores.lock import RunLock
from batchata.stores.room import Room
from batchata.stores.statements import Statements, Work, has_attachments
from batchata.stores.table import ResultTable
from batchata.stores.transactions import transaction

_PENDING = CODES[JobStatus.PENDING]
_SUBMITTED = CODES[JobStatus.SUBMITTED]
_SUCCEEDED = CODES[JobStatus.SUCCEEDED]
#: a commit writes whole pages; bodies of about 1 KB leave a fifth of a 4 KB page empty
_PAGE_BYTES, _SMALL_PAGE_BYTES = 16384, 4096
log = logging.getLogger("batchata")

T = TypeVar("T")


class SQLiteStore:
    """The state file, open for one run, or for reading beside it.

    Raises StateError (StateLockedError, StateVersionError) when the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        sets_aside: bool = False,
        small_commits: bool = False,
        keeps_room: bool = False,
    ) -> None:
        """Open the file; with `sets_aside` an earlier one is renamed first, and a new one begun.

        A file that is made for `small_commits` writes fewer bytes with each, and is a bit larger.
        With `keeps_room` a full disk still takes some commits, after a call of `on_shortage`.
        """
        self.path = path
        self.is_read_only = read_only
        self._page_bytes = _SMALL_PAGE_BYTES if small_commits else _PAGE_BYTES
        self._lock = None if read_only else RunLock(path)
        check_file(path, must_exist=read_only)
        if self._lock is not None:
            self._lock.acquire()
        try:
            if sets_aside and path.exists():
                _set_aside(path)
            self._db = self._connect()
            # results are read as they are asked for: whoever drops them lets go of the file too
            weakref.finalize(self, self._db.close)
            lock = self._lock
            self._identity = None if lock is None else Identity(path, self._db, lock)
            self._statements = self._read(lambda: Statements(self._db, is_read_only=read_only))
            self.table = ResultTable(self._db, path)
            self._room = Room(path) if keeps_room else None
            #: told once when a full disk has taken the room
            self.on_shortage: Callable[[StateError], None] = lambda error: None
        except BatchataError:
            self._unlock()
            raise

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={'ro' if self.is_read_only else 'rwc'}"
        db: sqlite3.Connection | None = None
        try:
            db = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10
            )
            if not self.is_read_only:
                # FULL: a commit is on the disk before the call that it allows leaves
                db.execute(f"PRAGMA page_size={self._page_bytes}")
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                self._prepare(db)
            elif not db.execute("PRAGMA user_version").fetchone()[0]:
                db.close()  # a run has made the file and not come to its tables yet
                db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                self._prepare(db)
        except sqlite3.Error as error:
            if db is not None:
                db.close()
            raise disk_error(self.path, error) from error
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == schema.VERSION:
            return
        with transaction(db):
            for statement in ";".join(schema.STEPS[version:]).split(";"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={schema.VERSION}")

    def load(self) -> RunState:
        """Everything the file knows, folded; no job is wanted until a run says so."""
        return self._read(lambda: Loader(self._db).state())

    def known_ids(self) -> dict[str, int]:
        """Job id to seq of every job in the file."""
        return self._read(lambda: dict(self._db.execute("SELECT id, seq FROM jobs")))

    def keys(self, seqs: Iterable[int]) -> dict[int, bytes | None]:
        """Fingerprints of these jobs, None where the id was derived from the content."""
        return dict(self._by_seq("SELECT seq, key FROM jobs", seqs))

    def metadata(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """The users' own data of those of these jobs that have any, as JSON."""
        return dict(self._by_seq(schema.METADATA, seqs))

    def ids(self, seqs: Sequence[int]) -> list[str]:
        """Job ids in the order asked for."""
        found = dict(self._by_seq("SELECT seq, id FROM jobs", seqs))
        return [found[seq] for seq in seqs]

    def bodies(self, seqs: Sequence[int]) -> Iterator[bytes]:
        """Request bodies in the order asked for."""
        for start in range(0, len(seqs), 500):
            part = seqs[start : start + 500]
            found = dict(self._by_seq("SELECT seq, body FROM bodies", part))
            for seq in part:
                yield found[seq]

    def output_bounds(self, seqs: Iterable[int]) -> dict[int, int]:
        """The most output tokens of these jobs."""
        return dict(self._by_seq("SELECT seq, output_bound FROM jobs", seqs))

    def refused(self, seqs: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The last answer of each job that did not fit its schema, and what was wrong with it."""
        rows = self._by_seq(schema.REFUSED, seqs)
        return {seq: (text or "", error or "") for seq, text, error in rows}

    def last_outcomes(self, seqs: Sequence[int]) -> dict[int, Outcome]:
        """The newest outcome of each of these jobs that has one, without its submission."""
        rows = self._by_seq(schema.OUTCOMES_OF, seqs)
        return {row[1]: schema.outcome_of(row, None) for row in rows}

    def attachments(self, seqs: Iterable[int]) -> dict[int, tuple[Attachment, ...]]:
        """Files of these jobs; jobs without any are left out."""
        if not self._read(lambda: has_attachments(self._db)):
            return {}
        found: dict[int, tuple[Attachment, ...]] = {}
        for row in self._by_seq("SELECT * FROM attachments", seqs):
            found[row[0]] = (*found.get(row[0], ()), schema.attachment_of(row))
        return found

    def meta(self, key: str) -> Any:
        """A small value kept beside the run, None when it was never set."""
        row = self._read(
            lambda: self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        )
        return row[0] if row else None

    def set_meta(self, **values: str | int | None) -> None:
        """Keep small values beside the run, all or none."""
        self._write([("INSERT OR REPLACE INTO meta VALUES (?,?)", list(values.items()))])

    @property
    def last_number(self) -> int:
        """Number of the newest outcome."""
        return self._statements.last_outcome

    def commit(self, *events: Durable) -> None:
        """Keep these events, all or none; StateError when the disk refuses."""
        self._write(self._read(lambda: self._statements.of(events)))
        self._statements.kept()

    def _write(self, work: list[Work]) -> None:
        try:
            self._transact(work)
        except sqlite3.Error as error:
            if not is_full(error) or self._room is None or not self._room.give_back():
                raise disk_error(self.path, error) from error
            try:
                self._transact(work)
            except sqlite3.Error as again:
                raise disk_error(self.path, again) from again
            short = shortage(self.path, error)
            log.error("%s", short.message)
            self.on_shortage(short)
        self.check()

    def _transact(self, work: list[Work]) -> None:
        with transaction(self._db):
            for statement, rows in work:
                self._db.executemany(statement, rows)

    def check(self) -> None:
        """Raise StateError when the file that is written to is not the one that others find."""
        if self._identity is not None:
            self._identity.check()

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except sqlite3.Error as error:
            raise disk_error(self.path, error) from error

    def _by_seq(self, select: str, seqs: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        wanted = list(seqs)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            try:
                rows = self._db.execute(_select(select, marks), part).fetchall()
            except sqlite3.Error as error:
                raise disk_error(self.path, error) from error
            yield from rows

    def close(self) -> None:
        """Fold the log into the file, so that the file alone can be copied, and let go of it."""
        if self._room is not None:
            self._room.give_back()
        if self._identity is not None and not self._identity.is_lost:
            self._fold()  # it would take away the log of whoever has the name now
        self._db.close()
        self._unlock()

    def _fold(self) -> None:
        said = "the log of %s could not be folded in (%s): a copy needs %s-wal too"
        try:
            self._db.execute("PRAGMA busy_timeout=200")  # a run that stops does not wait long
            (is_busy, *_) = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                log.warning(said, self.path, "it is being read", self.path.name)
        except sqlite3.Error as error:  # what is committed is safe either way
            log.warning(said, self.path, error, self.path.name)
            return
        with contextlib.suppress(sqlite3.Error):  # a reader keeps the log there, and it is empty
            self._db.execute("PRAGMA journal_mode=DELETE")

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _set_aside(path: Path) -> None:
    """Rename an earlier run's file to the next free name, so that its answers are never lost."""
    fold_log(path)
    aside = numbered_name(path)
    try:
        path.rename(aside)
    except OSError as error:
        raise StateError(
            f"the state file {str(path)!r} cannot be put aside: {error.strerror}",
            hint="name another file, as .set_state('./state-2.db')",
        ) from error
    log.info("the earlier state file was kept as %s", aside)


def _select(select: str, marks: str) -> str:
    return select.format(marks=marks) if "{marks}" in select else f"{select} WHERE seq IN ({marks})"
