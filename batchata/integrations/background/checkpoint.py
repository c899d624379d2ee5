"""Responses that were fetched, in an SQLite file: an id is in it with its answer, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from batchata.core.errors import StateError
from batchata.stores.sqlite_file import FileKind, SqliteFile, foreign_file

_KIND: Final = FileKind(
    name="checkpoint",
    application_id=0x62746267,  # "btbg"
    version=1,
    instead="checkpoint_file='./responses.db'",
    durability="FULL",
    tables="""
CREATE TABLE IF NOT EXISTS responses (
    response_id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, body BLOB NOT NULL,
    fetched_us INTEGER NOT NULL)
""",
)
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
        if path is not None:
            _check_head(path)
        self._file = SqliteFile(path, _KIND)

    def keep(self, rows: Sequence[Stored]) -> None:
        """Check responses off, all or none, with their answers."""
        self._file.write_all(_ADD, rows)

    def known(self) -> set[str]:
        """Ids that are checked off."""
        return {row[0] for row in self._file.rows("SELECT response_id FROM responses")}

    def read(self, ids: Iterable[str]) -> Iterator[Stored]:
        """What is there of these, each once, in any order."""
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(some))
            found = self._file.rows(f"SELECT * FROM responses WHERE response_id IN ({marks})", some)
            yield from map(Stored._make, found)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
        raise foreign_file(path, _KIND)
