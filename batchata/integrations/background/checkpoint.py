"""Responses that were fetched, in an SQLite file: an id is in it with its answer, or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from batchata.core.errors import StateError, StateVersionError
from batchata.stores.files import closed_on_error

APPLICATION_ID: Final = 0x62746267  #: "btbg"
VERSION: Final = 1
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS responses (
    response_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, body BLOB NOT NULL,
    fetched_us INTEGER NOT NULL)
"""
_ADD: Final = (
    "INSERT INTO responses VALUES (?,?,?,?) ON CONFLICT (response_id) DO UPDATE SET "
    "status=excluded.status, body=excluded.body, fetched_us=excluded.fetched_us"
)
_AT_ONCE: Final = 500


class Stored(NamedTuple):
    """A response that has ended, as the vendor gave it."""

    response_id: str
    status: str
    body: bytes  #: JSON
    fetched_us: int  #: µs since the epoch, UTC


class Checkpoint:
    """Keeps responses in `path`; None: in a file of its own that goes with it.

    Raises StateError when the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        if path is not None:
            _check_head(path)
        try:
            # the empty name is SQLite's for a temporary file
            self._db = sqlite3.connect(path or "", isolation_level=None, timeout=30)
            with closed_on_error(self._db):
                self._check()
                self._prepare()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'OFF' if self._path is None else 'FULL'}")
        self._db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute(_TABLE)

    def _check(self) -> None:
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (tables or application) and application != APPLICATION_ID:
            raise _not_ours(self._path)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateVersionError(
                f"the checkpoint {str(self._path)!r} has version {version}, "
                f"this batchata reads {VERSION}",
                hint="update batchata: pip install -U batchata",
            )

    def keep(self, rows: Sequence[Stored]) -> None:
        """Check responses off, all or none, with their answers."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_ADD, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._error(error) from error

    def known(self) -> set[str]:
        """Ids that are checked off."""
        try:
            return {row[0] for row in self._db.execute("SELECT response_id FROM responses")}
        except sqlite3.Error as error:
            raise self._error(error) from error

    def read(self, ids: Iterable[str]) -> Iterator[Stored]:
        """What is there of these, each once, in any order."""
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            try:
                rows = self._db.execute(
                    f"SELECT * FROM responses WHERE response_id IN ({marks})", some
                ).fetchall()
            except sqlite3.Error as error:
                raise self._error(error) from error
            yield from map(Stored._make, rows)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _error(self, error: sqlite3.Error) -> StateError:
        name = "the checkpoint" if self._path is None else f"the checkpoint {str(self._path)!r}"
        return StateError(
            f"{name} cannot be used: {error}", hint="check the disk, or name another file"
        )


def _check_head(path: Path) -> None:
    """Raise StateError for a file that is not an SQLite file, and for no file in no folder."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise StateError(
                f"the folder of the checkpoint {str(path)!r} does not exist",
                hint=f"make it first: mkdir -p {path.parent}",
            ) from None
        return
    except OSError as error:
        raise StateError(
            f"the checkpoint {str(path)!r} cannot be read: {error.strerror or error}",
            hint="name another file",
        ) from error
    if head.startswith(b"PAR1"):
        raise StateError(
            f"{str(path)!r} is a checkpoint of an earlier logger, which may name responses that "
            "are in no log; it was left as it is",
            hint="name another file: fetching again costs nothing",
        )
    if head and not head.startswith(b"SQLite format 3\0"):
        raise _not_ours(path)


def _not_ours(path: Path | None) -> StateError:
    return StateError(
        f"{str(path)!r} is not a checkpoint; it was left as it is",
        hint="name another file, as checkpoint_file='./responses.db'",
    )
