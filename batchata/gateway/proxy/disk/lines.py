"""JSON lines on disk, readable by their owner only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.errors import ResultsError
from batchata.core.logged import to_json
from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.writing import Writing

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

LOG: Final = logging.getLogger("batchata.gateway")
#: how much is held of lines that a full disk does not take; further lines are lost
MOST_HELD_BYTES: Final = 64 * 1024 * 1024
_BLOCK: Final = 64 * 1024


class LineFile:
    """Appends to one file and keeps what it already holds. A redactor takes out secrets.

    A full disk loses no line while all fit into `MOST_HELD_BYTES`; a file that was moved away is
    started again.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self.path = path
        self.lost = 0  #: lines that neither disk nor memory had room for
        self._redactor = redactor
        self._waiting: list[bytes] = []
        self._rest = b""  # what the disk has not taken: the rest of a line, and whole ones
        self._is_cut = False  # the file has the beginning of a line, and `_rest` its end
        self._fd: int | None = None
        self._lock = asyncio.Lock()
        self._writing = Writing()

    def open(self) -> None:
        """Create the folder and the file; ResultsError when the disk refuses."""
        try:
            self._fd = self._opened()
        except OSError as error:
            raise ResultsError(
                f"{str(self.path)!r} cannot be written: {error.strerror or error}",
                hint="choose a folder you may write to",
            ) from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a row; it is on disk after `flush`."""
        self._waiting.append(to_json(row))

    async def flush(self) -> None:
        """Write what waits, without holding up the loop for long."""
        if self._fd is None or not (self._waiting or self._rest):
            return
        async with self._lock:
            waiting, self._waiting = self._waiting, []
            size = sum(map(len, waiting)) + len(self._rest)
            await self._writing.run(self._write, waiting, size_bytes=size)

    async def aclose(self) -> None:
        """Write what waits and close the file."""
        await self.flush()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self.lost += self._rest.count(b"\n")
        if self.lost:
            LOG.error("%d lines of %s could not be written and are lost", self.lost, self.path)

    @property
    def held_bytes(self) -> int:
        """Bytes that the disk has not taken yet."""
        return len(self._rest)

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.fchmod(fd, 0o600)
        _join(self.path, fd)
        return fd

    def _write(self, lines: list[bytes]) -> None:
        was_held = bool(self._rest)
        if len(self._rest) < MOST_HELD_BYTES:
            kept = lines if self._redactor is None else self._redactor.jsons(lines)
            text = b"\n".join((*kept, b""))
            self._rest = self._rest + text if was_held else text
        else:
            self.lost += len(lines)
        rest = memoryview(self._rest)
        try:
            fd, is_new = self._current()
            if is_new and self._is_cut:
                rest = memoryview(self._rest.partition(b"\n")[2])
            while rest:
                rest = rest[os.write(fd, rest) :]
        except OSError as error:
            if not was_held:
                said = error.strerror or error
                LOG.error("%s cannot be written (%s): its lines wait in memory", self.path, said)
        at = len(self._rest) - len(rest)
        self._is_cut = bool(rest) and (self._rest[at - 1 : at] != b"\n" if at else self._is_cut)
        self._rest = bytes(rest)
        if was_held and not self._rest:
            LOG.warning("%s can be written again", self.path)

    def _current(self) -> tuple[int, bool]:
        """The file at this path, and whether it is new: the old one may have been moved away."""
        if self._fd is not None:
            try:
                if os.path.samestat(self.path.stat(), os.fstat(self._fd)):
                    return self._fd, False
            except FileNotFoundError:
                pass
        opened, old = self._opened(), self._fd
        self._fd = opened
        if old is not None:
            os.close(old)
        return opened, True


def _join(path: Path, fd: int) -> None:
    """End the last line if nobody else writes the file; from now on others leave it alone."""
    if _is_alone(fd):  # else what looks like a cut line may be one being written
        _end_last_line(path, fd)
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH)


def _is_alone(fd: int) -> bool:
    """False when another process has the file open; without locks nobody can tell."""
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            LOG.debug("locks do not work here: %s", error)
    return True


def _end_last_line(path: Path, fd: int) -> None:
    """Start a new line: a whole last line gets its line break, one cut by a kill is removed."""
    size = start = os.fstat(fd).st_size
    tail = b""
    with path.open("rb") as file:
        while start and b"\n" not in tail:
            start = max(0, start - _BLOCK)
            file.seek(start)
            tail = file.read(_BLOCK) + tail
    tail = tail.rpartition(b"\n")[2]
    if not tail:
        return
    try:
        orjson.loads(tail)
        os.write(fd, b"\n")
    except orjson.JSONDecodeError:
        os.ftruncate(fd, size - len(tail))


def as_json(value: Any, redactor: Redactor | None = None) -> bytes:
    """JSON of anything; what JSON cannot represent becomes text. A redactor takes out keys."""
    text = to_json(value)
    return text if redactor is None else redactor.json(text)
