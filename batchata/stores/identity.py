"""Whether the state file is still the one that was opened: SQLite would write on without a word."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from batchata.core.errors import StateError
from batchata.disk.atomic import numbered_name
from batchata.stores.lock import RunLock


class Identity:
    """The file that a run has open and locked, and what its name leads to now."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: RunLock) -> None:
        self._path = path.absolute()  # the process may change its folder
        self._db = db
        self._lock = lock
        self._file = _inode(self._path)
        self._mode = _mode(self._path)  # whoever may read it may read what is saved of it
        self._error: StateError | None = None

    @property
    def is_lost(self) -> bool:
        """True when the name leads to no file, or to another one."""
        try:
            return _inode(self._path) != self._file
        except OSError:  # the disk does not tell
            return False

    def check(self) -> None:
        """Raise StateError where a later run would not find what this one has written.

        What it has written is saved under another name before: nothing else leads to it any more.
        """
        if self._error is None and self.is_lost:
            self._error = self._lost()
        if self._error is None and not self._lock.is_held:
            self._error = StateError(
                f"the lock file {str(self._lock.path)!r} was deleted while a run was using it: "
                "another run may have begun with the same state file",
                hint="see that no other run uses the state file, and run again: it goes on; "
                "a lock needs no deleting, it ends with its run",
            )
        if self._error is not None:
            raise self._error

    def _lost(self) -> StateError:
        is_gone = _inode(self._path) is None
        became = "deleted or moved away" if is_gone else "replaced by another"
        said = f"the state file {str(self._path)!r} was {became} while a run was using it"
        aside = numbered_name(self._path)
        try:
            aside.touch(self._mode, exist_ok=False)
            with closing(sqlite3.connect(aside)) as copy:
                self._db.backup(copy)
        except (OSError, sqlite3.Error) as error:
            return StateError(
                f"{said}, and what it held cannot be saved as {str(aside)!r}: {error}",
                hint="put it, or a copy, back: without it all is asked, and paid for, again",
            )
        return StateError(
            f"{said}; what it held is saved as {str(aside)!r}",
            hint=("" if is_gone else "see that no run uses the other, and move it away; ")
            + "put the saved file in its place and run again: it goes on, and pays nothing twice "
            f"(mv {aside} {self._path})",
        )


def _inode(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others; None for one that is not there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return 0o600
