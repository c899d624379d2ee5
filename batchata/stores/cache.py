"""Answers kept beyond a run, by what was asked; shared by runs and processes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from batchata.core.errors import StateError, StateVersionError
from batchata.core.events import Event, OutcomesRecorded
from batchata.core.fingerprint import Fingerprints, fingerprints, strict_fingerprint
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape
from batchata.stores.files import closed_on_error

APPLICATION_ID: Final = 0x62746363  #: "btcc"
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS answers (
    n INTEGER PRIMARY KEY, strict BLOB NOT NULL UNIQUE, but_params BLOB NOT NULL,
    but_prompt BLOB NOT NULL, created_us INTEGER, finish_reason TEXT, model TEXT,
    request_id TEXT, text TEXT, parsed BLOB, extra BLOB);
CREATE INDEX IF NOT EXISTS by_params ON answers (but_params);
CREATE INDEX IF NOT EXISTS by_prompt ON answers (but_prompt);
"""
_ADD: Final = (
    "INSERT INTO answers (strict, but_params, but_prompt, created_us, finish_reason, model, "
    "request_id, text, parsed, extra) VALUES (?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (strict) DO UPDATE SET created_us=excluded.created_us, text=excluded.text, "
    "finish_reason=excluded.finish_reason, model=excluded.model, parsed=excluded.parsed, "
    "request_id=excluded.request_id, extra=excluded.extra"
)
_COLUMN: Final = {"strict": "strict", "ignore_params": "but_params", "ignore_prompt": "but_prompt"}
#: how answers end that are worth keeping: not cut, not refused, not filtered
_WHOLE: Final = frozenset({"stop", "tool_calls"})


class AnswerCache:
    """One SQLite file; only whole, valid answers go in, and none is ever changed by a reader.

    Raises StateError when the file cannot be used.
    """

    def __init__(self, path: Path, reuse: str) -> None:
        self._path = path
        self._reuse = reuse
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30
            )
            with closed_on_error(self._db):
                self._check()
                self._prepare()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # a lost entry is asked again, no more
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.executescript(_TABLES)

    def _check(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (tables or application) and application != APPLICATION_ID:
            raise StateError(
                f"{str(self._path)!r} is not an answer cache; it was left as it is",
                hint="name another file, as .set_cache('./answers.db')",
            )
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateVersionError(
                f"the answer cache {str(self._path)!r} has version {version}, "
                f"this batchata reads {VERSION}",
                hint="update batchata: pip install -U batchata",
            )

    def find(self, shape: Shape, body: bytes, seq: int, now_us: int) -> Outcome | None:
        """The outcome of a job whose question was answered before; it costs nothing."""
        if self._reuse == "fresh":
            return None
        if self._reuse == "strict":
            key = strict_fingerprint(shape, body)
        else:
            key = fingerprints(shape, body)[tuple(_COLUMN).index(self._reuse)]
        try:
            row = self._db.execute(
                "SELECT finish_reason, model, request_id, text, parsed, extra FROM answers "
                f"WHERE {_COLUMN[self._reuse]}=? ORDER BY n DESC LIMIT 1",
                (key,),
            ).fetchone()
        except sqlite3.Error as error:
            raise self._error(error) from error
        if row is None:
            return None
        return Outcome(
            seq=seq,
            status=JobStatus.SUCCEEDED,
            attempt=0,
            finish_reason=row[0],
            model=row[1],
            request_id=row[2],
            text=row[3],
            parsed=row[4],
            extra=row[5],
            finished_us=now_us,
        )

    def keep(self, answers: Sequence[tuple[Fingerprints, Outcome]]) -> None:
        """Put answers in, all or none."""
        rows = [
            (
                *keys,
                each.finished_us,
                each.finish_reason,
                each.model,
                each.request_id,
                each.text,
                each.parsed,
                each.extra,
            )
            for keys, each in answers
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_ADD, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._error(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _error(self, error: sqlite3.Error) -> StateError:
        return StateError(
            f"the answer cache {str(self._path)!r} cannot be used: {error}",
            hint="check the disk, or name another file: .set_cache('./answers.db')",
        )


class CacheFeeder:
    """Puts a run's whole answers into the cache as they are committed."""

    def __init__(
        self,
        cache: AnswerCache,
        shape: Callable[[int], Shape],
        bodies: Callable[[Sequence[int]], Sequence[bytes]],
    ) -> None:
        self._cache = cache
        self._shape = shape
        self._bodies = bodies

    def emit(self, event: Event) -> None:
        """Keep the answers that this event brought."""
        if not isinstance(event, OutcomesRecorded):
            return
        whole = [
            each
            for each in event.outcomes
            if each.status is JobStatus.SUCCEEDED and each.finish_reason in _WHOLE and each.attempt
        ]
        if not whole:
            return
        bodies = self._bodies([each.seq for each in whole])
        self._cache.keep(
            [
                (fingerprints(self._shape(each.seq), body), each)
                for each, body in zip(whole, bodies, strict=True)
            ]
        )
