"""Checks that a file can be the state file, and explains what the disk said if it cannot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from batchata.core.errors import ResultsError, StateError, StateVersionError
from batchata.stores import schema

_FULL: Final = (
    "free some space and run the same script again: it goes on, and tells live answers that it "
    "had no room for as possibly billed"
)
_CLOSED: Final = "choose a file in a folder you may write to: .set_state('somewhere/state.db')"
_DAMAGED: Final = "the file is damaged: restore a copy, or start over with another file"
_DISK: Final = "check the disk and run the same script again"
_BUSY: Final = "another program has it: close that and run the same script again"
_OUR_FAULT: Final = "that is a fault of batchata, not of the disk: please report it"
#: by SQLite's primary result code. Source: sqlite.org/rescode.html
_HINTS: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _CLOSED,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_PERM: _CLOSED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_PROTOCOL: _DISK,
    sqlite3.SQLITE_NOMEM: "there is too little memory: close other programs and run again",
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
}


def check_file(path: Path, *, must_exist: bool = False) -> None:
    """Raise StateError unless `path` is free, or a state file that this version can read."""
    if not path.exists():
        if must_exist:
            raise StateError(
                f"there is no state file {str(path)!r}", hint="give the file named in .set_state()"
            )
        if not path.parent.is_dir():
            raise StateError(
                f"the folder of the state file {str(path)!r} does not exist",
                hint=f"make it first: mkdir -p {path.parent}",
            )
        return
    if path.is_dir():
        raise StateError(f"the state file {str(path)!r} is a folder", hint="name a file in it")
    head = _head(path)
    if head and not head.startswith(b"SQLite format 3\0"):
        is_json = head.lstrip()[:1] in (b"{", b"[")
        hint = "state is an SQLite file: name another one, as .set_state('./state.db')"
        if is_json:
            hint += f"; StateManager.import_legacy({str(path)!r}) reads that of an earlier release"
        raise StateError(
            f"{str(path)!r} is {'a JSON file' if is_json else 'not a state file'}; "
            "it was left as it is",
            hint=hint,
        )
    if len(head) >= 72:
        _check_versions(path, head)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError as error:
        raise StateError(
            f"the state file {str(path)!r} cannot be read: {error.strerror}",
            hint="check the file's permissions",
        ) from error


def _check_versions(path: Path, head: bytes) -> None:
    version = int.from_bytes(head[60:64], "big")
    application = int.from_bytes(head[68:72], "big")
    has_tables = any(head[40:44])  # the number of times that a schema was written
    if application != schema.APPLICATION_ID and (application or version or has_tables):
        raise StateError(
            f"{str(path)!r} is an SQLite database of another program; it was left as it is",
            hint="name another file, as .set_state('./state.db')",
        )
    if version > schema.VERSION:
        raise StateVersionError(
            f"the state file {str(path)!r} has version {version}, "
            f"this batchata reads up to {schema.VERSION}",
            hint="update batchata: pip install -U batchata",
        )


def fold_log(path: Path) -> None:
    """Fold the log that a killed run left into the file it belongs to."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=2)) as db:
            db.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        if "locked" in str(error):
            raise StateError(
                f"the state file {str(path)!r} is being read",
                hint="close its readers first: results() of a run keeps the file open",
            ) from error
        raise disk_error(path, error) from error


@contextmanager
def closed_on_error(db: sqlite3.Connection) -> Iterator[None]:
    """Close a database that turns out not to be ours, or to be unusable."""
    try:
        yield
    except BaseException:
        db.close()
        raise


def disk_error(path: Path, error: sqlite3.Error) -> StateError:
    """The error for what SQLite said of the state file, with what to do about it."""
    hint = _HINTS.get((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF, _OUR_FAULT)
    return StateError(f"the state file {str(path)!r} cannot be used: {error}", hint=hint)


def is_full(error: sqlite3.Error) -> bool:
    """True when the disk has no room."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == sqlite3.SQLITE_FULL


def shortage(path: Path, error: sqlite3.Error) -> StateError:
    """The error of a disk that is full but for the room that was kept for what is paid for."""
    return StateError(
        f"there is no room left for the state file {str(path)!r} ({error}): the run stops, and "
        "keeps the answers that are still to come",
        hint="free some space and run the same script again: it goes on",
    )


def files_error(error: OSError) -> ResultsError:
    """The error of a disk that a run can no longer write to, with what to do about it."""
    return ResultsError(
        f"the files of the run cannot be written: {error}",
        hint="make room or make the folder writable, and run again: it goes on",
    )


def clear_folder(folder: Path, *, is_done: bool) -> None:
    """Remove our own folder of temporary files, unless something in it is still needed."""
    with suppress(OSError):  # what stays is only in the way
        if is_done:
            for path in folder.iterdir():
                path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
