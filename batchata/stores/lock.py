"""One run per state file: a lock that the operating system releases when the process dies."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from batchata.core.errors import StateError, StateLockedError

try:
    import fcntl
except ImportError:  # Windows has no flock; SQLite's own locks still keep two writers apart
    fcntl = None  # type: ignore[assignment]


class RunLock:
    """Held by the one run that may write; raises StateLockedError naming the run that has it."""

    def __init__(self, state_file: Path) -> None:
        self.path = state_file.with_name(state_file.name + ".lock")
        self._state_file = state_file
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise StateLockedError at once."""
        while self._fd is None:
            fd = self._open()
            if fcntl is not None:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    holder = os.pread(fd, 200, 0).decode("utf-8", "replace").strip()
                    os.close(fd)
                    raise self._locked(holder) from None
            if self._is_current(fd):
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                self._fd = fd
            else:  # the holder before us removed the file between our open and our lock
                os.close(fd)

    def release(self) -> None:
        """Let go; the lock file disappears while it is still held."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._fd)
        self._fd = None

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"the lock file {str(self.path)!r} cannot be written: {error.strerror}",
                hint="choose a folder you may write to: .set_state('somewhere/state.db')",
            ) from error

    def _is_current(self, fd: int) -> bool:
        try:
            return os.fstat(fd).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    def _locked(self, holder: str) -> StateLockedError:
        return StateLockedError(
            f"the state file {str(self._state_file)!r} is in use by {holder or 'another run'}",
            hint="wait for that run, stop it, or give this run a state file of its own",
        )
