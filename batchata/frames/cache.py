"""Keeps answers of rows in a file of the user's own, which can also be read with SQL."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

from batchata.core.errors import StateError, StateVersionError, ValidationError
from batchata.core.parse import value_of
from batchata.providers.encoding import json_text
from batchata.stores.transactions import transaction

APPLICATION_ID: Final = 0x62746678  #: "btfx"
VERSION: Final = 1
_IDS_AT_ONCE: Final = 500
#: `results` shows each row's newest answer and keeps older ones; old tools may write to it
_TABLES: Final = (
    "CREATE TABLE answers (n INTEGER PRIMARY KEY, row_id TEXT NOT NULL, prompt_hash TEXT, "
    "key BLOB, json_result TEXT NOT NULL)",
    "CREATE INDEX answers_by_row ON answers (row_id)",
    "CREATE VIEW results AS SELECT row_id, json_result, prompt_hash FROM answers AS a "
    "WHERE n = (SELECT max(n) FROM answers AS b WHERE b.row_id = a.row_id)",
    "CREATE TRIGGER results_insert INSTEAD OF INSERT ON results BEGIN "
    "INSERT INTO answers (row_id, prompt_hash, json_result) "
    "VALUES (NEW.row_id, NEW.prompt_hash, NEW.json_result); END",
    "CREATE TRIGGER results_update INSTEAD OF UPDATE ON results BEGIN "
    "UPDATE answers SET json_result = NEW.json_result, prompt_hash = NEW.prompt_hash "
    "WHERE n = (SELECT max(n) FROM answers WHERE row_id = OLD.row_id); END",
    "CREATE TRIGGER results_delete INSTEAD OF DELETE ON results BEGIN "
    "DELETE FROM answers WHERE row_id = OLD.row_id; END",
)
_ADD: Final = "INSERT INTO answers (row_id, prompt_hash, key, json_result) VALUES (?,?,?,?)"
T = TypeVar("T")


class Entry(NamedTuple):
    """An answer to keep, or one that was kept; `key` is None if only the prompt is known."""

    row_id: str
    prompt_hash: str | None
    key: bytes | None
    json_result: str


class SqliteCache:
    """One SQLite file in which answers are kept; the newest of each row is shown.

    Files of the earlier extraction library, with two columns or three, are taken over as they
    are opened. Raises StateError when the file cannot be used.
    """

    def __init__(self, db_path: str | Path) -> None:
        if not isinstance(db_path, (str, os.PathLike)):
            raise ValidationError(
                f"the cache is {db_path!r}, not a path", hint="write cache_path='answers.sqlite'"
            )
        self.db_path = Path(db_path)
        if not self.db_path.absolute().parent.is_dir():
            raise StateError(
                f"the folder of the cache {str(self.db_path)!r} does not exist",
                hint=f"make it first: mkdir -p {self.db_path.parent}",
            )
        self._db = self._try(self._connect)
        self._finalizer = weakref.finalize(self, self._db.close)

    def get(self, row_id: str, prompt_hash: str | None = None) -> dict[str, Any] | None:
        """The newest answer of a row, for this prompt if one is given; None when there is none."""
        where, values = _of_prompt(prompt_hash)
        row = self._try(
            lambda: self._db.execute(
                f"SELECT json_result FROM answers WHERE row_id=? {where} ORDER BY n DESC LIMIT 1",
                (row_id, *values),
            ).fetchone()
        )
        return None if row is None else value_of(row[0].encode())

    def put(self, row_id: str, result: dict[str, Any], prompt_hash: str | None = None) -> None:
        """Keep an answer; it is on the disk when this returns."""
        self.put_many([Entry(row_id, prompt_hash, None, json_text(result))])

    def all_ids(self, prompt_hash: str | None = None) -> set[str]:
        """Ids of the rows that have an answer, for this prompt if one is given."""
        where, values = _of_prompt(prompt_hash)
        select = f"SELECT DISTINCT row_id FROM answers WHERE 1 {where}"
        return {row[0] for row in self._try(lambda: self._db.execute(select, values).fetchall())}

    def put_many(self, entries: Sequence[Entry]) -> None:
        """Keep answers, all or none."""

        def write() -> None:
            with transaction(self._db):
                self._db.executemany(_ADD, entries)

        if entries:
            self._try(write)

    def find(self, row_ids: Iterable[str]) -> Iterator[Entry]:
        """All answers of these rows, older ones first."""
        wanted = list(dict.fromkeys(row_ids))
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            part = wanted[start : start + _IDS_AT_ONCE]
            select = (
                "SELECT row_id, prompt_hash, key, json_result FROM answers "
                f"WHERE row_id IN ({','.join('?' * len(part))}) ORDER BY n"
            )
            yield from map(Entry._make, self._try(partial(self._all, select, part)))

    def close(self) -> None:
        """Close the file."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _all(self, select: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
        return self._db.execute(select, values).fetchall()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.db_path, isolation_level=None, check_same_thread=False, timeout=30
        )
        try:
            with transaction(db):
                _prepare(db, self.db_path)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
        except BaseException:
            db.close()
            raise
        return db

    def _try(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise StateError(
                f"the cache {str(self.db_path)!r} cannot be used: {error}",
                hint="free some space and run again: what was answered is kept"
                if is_full
                else "give a file of its own, in a folder you may write to",
            ) from error


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make a new file, or take over an old one."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    if application == APPLICATION_ID:
        if version > VERSION:
            raise StateVersionError(
                f"the cache {str(path)!r} has version {version}, this batchata reads {VERSION}",
                hint="update batchata: pip install -U batchata",
            )
        return
    found = {row[0]: row[1] for row in db.execute("SELECT name, type FROM sqlite_master")}
    columns = {row[1] for row in db.execute("PRAGMA table_info(results)")}
    if application or (found and not {"row_id", "json_result"} <= columns):
        raise StateError(
            f"{str(path)!r} is an SQLite database of another program; it was left as it is",
            hint="name another file: cache_path='answers.sqlite'",
        )
    if columns:
        db.execute("ALTER TABLE results RENAME TO old_results")
    for statement in _TABLES:
        db.execute(statement)
    if columns:
        prompt_hash = "prompt_hash" if "prompt_hash" in columns else "NULL"
        db.execute(
            "INSERT INTO answers (row_id, prompt_hash, json_result) "
            f"SELECT row_id, {prompt_hash}, json_result FROM old_results ORDER BY rowid"
        )
        db.execute("DROP TABLE old_results")
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db.execute(f"PRAGMA user_version={VERSION}")


def _of_prompt(prompt_hash: str | None) -> tuple[str, tuple[str, ...]]:
    return ("", ()) if prompt_hash is None else ("AND prompt_hash=?", (prompt_hash,))
