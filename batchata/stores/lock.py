"""One run per state file: a lock that the operating system releases when the process dies."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from pathlib import Path
from typing import Final

from batchata.core.errors import StateError, StateLockedError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: a process that is killed holds its locks until its last write has reached the disk
_DYING_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_EXITING: Final = 0x4  #: PF_EXITING, of the flags in /proc/PID/stat
_KILLED: Final = 1 << 8  #: SIGKILL, in a mask of signals


class RunLock:
    """Held by the one run that may write; raises StateLockedError naming the run that has it."""

    def __init__(self, state_file: Path, *, what: str = "") -> None:
        # absolute: the process may change its folder
        self.path = state_file.absolute().with_name(state_file.name + ".lock")
        self._state_file = state_file
        self._what = what  #: which it is for where that is no state file
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise StateLockedError: at once, unless its holder is dead or dying.

        Raises StateError on a system without such locks, where two runs could pay twice.
        """
        if fcntl is None:
            raise StateError(
                "this system has no locks that keep two runs of a state file apart",
                hint="run batchata on Linux or macOS; on Windows in WSL",
            )
        until = time.monotonic() + _DYING_SECONDS
        while self._fd is None:
            fd = self._open()
            holder = _holder_of(fd)
            if holder is not None:
                os.close(fd)
                is_gone = _is_gone(holder)
                if not is_gone or time.monotonic() >= until:
                    raise self._locked(holder, is_gone=is_gone)
                time.sleep(_LOOK_SECONDS)
                continue
            if self._is_current(fd):
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
                self._fd = fd
            else:  # the holder before us removed the file between our open and our lock
                os.close(fd)

    @property
    def is_held(self) -> bool:
        """True while nobody else can have it: whoever deletes the file lets another run begin."""
        try:
            return self._fd is not None and self._is_current(self._fd)
        except OSError:  # the disk does not tell
            return True

    def release(self) -> None:
        """Let go; the lock file disappears while it is still held."""
        if self._fd is None:
            return
        if self.is_held:
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
            return os.path.samestat(os.fstat(fd), self.path.stat())
        except FileNotFoundError:
            return False

    def _locked(self, holder: str, *, is_gone: bool) -> StateLockedError:
        if is_gone:
            return StateLockedError(
                f"the state file {str(self._state_file)!r} was in use by {holder}, which is gone, "
                f"and a process that it started still has {self.path.name!r} open",
                hint=f"end it (`fuser {self.path}` names it), and start this run again",
            )
        return StateLockedError(
            f"{self._what or f'the state file {str(self._state_file)!r}'} is in use by "
            f"{holder or 'another run'}",
            hint="stop it, or name another folder"
            if self._what
            else "wait for that run, stop it, or give this run a state file of its own",
        )


def _holder_of(fd: int) -> str | None:
    """The holder of a file's lock, as it describes itself; None when we have it now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return os.pread(fd, 200, 0).decode("utf-8", "replace").strip()
    return None


def _is_gone(holder: str) -> bool:
    """True for a process of this machine that is dead, or has been killed and is on its way out."""
    said = re.fullmatch(r"process (\d+) on (.*)", holder)
    if said is None or said[2] != socket.gethostname():
        return False
    pid = int(said[1])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it died just now, or there is no /proc
        return Path("/proc/self").exists()
    signals = [int(each, 16) for each in re.findall(r"(?:SigPnd|ShdPnd):\s*(\w+)", status)]
    is_dead, is_exiting = stat[0] in "ZX", bool(int(stat[6]) & _EXITING)
    return is_dead or is_exiting or any(each & _KILLED for each in signals)
