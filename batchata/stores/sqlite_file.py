"""SQLite files of ours beside the state file: made, recognised, refused if they are others'."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from batchata.core.errors import StateError, StateVersionError
from batchata.stores.files import closed_on_error
from batchata.stores.transactions import transaction


@dataclass(frozen=True, slots=True)
class FileKind:
    """What distinguishes one kind of our files from all others."""

    name: str  #: as in "the answer cache './answers.db' cannot be used"
    application_id: int
    version: int
    tables: str  #: statements that make what is missing
    instead: str  #: how the user names another file
    durability: Literal["FULL", "NORMAL"]  #: SQLite's `synchronous`


class SqliteFile:
    """An open file of one kind; with no path a temporary one, which goes when it is closed.

    Raises StateError for a file that is not ours and when the disk fails, and StateVersionError for
    one of a newer batchata; a file that is refused is left as it was. With `read_only` nothing is
    written, not even files beside it.
    """

    def __init__(self, path: Path | None, kind: FileKind, *, read_only: bool = False) -> None:
        self._kind = kind
        self._named = f"the {kind.name}" if path is None else f"the {kind.name} {str(path)!r}"
        if path is not None:
            self._check_place(path)
        # the empty name is SQLite's for a temporary file
        place = _to_read(path) if path is not None and read_only else path or ""
        with self._disk_watched():
            self._db = sqlite3.connect(
                place,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
                uri=read_only,
            )
            with closed_on_error(self._db):
                self._check(path)
                if not read_only:
                    self._prepare("OFF" if path is None else kind.durability)

    def _check_place(self, path: Path) -> None:
        if path.is_dir():
            raise StateError(
                f"{self._named} is a folder", hint=f"name a file: {self._kind.instead}"
            )
        if not path.parent.is_dir():
            raise StateError(
                f"the folder of {self._named} does not exist",
                hint=f"make it first: mkdir -p {path.parent}",
            )

    def _check(self, path: Path | None) -> None:
        kind = self._kind
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if (tables or application) and application != kind.application_id:
            raise foreign_file(path, kind)
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > kind.version:
            raise StateVersionError(
                f"{self._named} has version {version}, this batchata reads {kind.version}",
                hint="update batchata: pip install -U batchata",
            )

    def _prepare(self, durability: str) -> None:
        kind = self._kind
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={durability}")
        self._db.execute(f"PRAGMA application_id={kind.application_id}")
        self._db.execute(f"PRAGMA user_version={kind.version}")
        self._db.executescript(kind.tables)

    def rows(self, question: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._disk_watched():
            return self._db.execute(question, values).fetchall()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Execute one statement."""
        with self._disk_watched():
            self._db.execute(statement, values)

    def write_all(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute the statement for all rows, or for none."""
        with self._disk_watched(), transaction(self._db):
            self._db.executemany(statement, rows)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @contextmanager
    def _disk_watched(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(
                f"{self._named} cannot be used: {error}",
                hint=f"check the disk, or name another file: {self._kind.instead}",
            ) from error


def _to_read(path: Path) -> str:
    """The file's address for a reader, which leaves no files of SQLite's beside it."""
    is_in_use = path.with_name(path.name + "-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if is_in_use else "&immutable=1")


def foreign_file(path: Path | None, kind: FileKind) -> StateError:
    """A file that something else has made."""
    return StateError(
        f"{str(path)!r} is no {kind.name}; it was left as it is",
        hint=f"name another file: {kind.instead}",
    )
