"""JSON lines on disk, readable by their owner only."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.errors import ResultsError
from batchata.core.logged import to_json
from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.writing import Writing

_BLOCK: Final = 64 * 1024


class LineFile:
    """Appends to one file; what is in it already stays. A redactor takes out secrets."""

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self.path = path
        self._redactor = redactor
        self._waiting: list[bytes] = []
        self._fd: int | None = None
        self._writing = Writing()

    def open(self) -> None:
        """Make the folder and the file; ResultsError when the disk refuses."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(self.path, flags, 0o600)
            os.fchmod(self._fd, 0o600)
            _end_last_line(self.path, self._fd)
        except OSError as error:
            raise ResultsError(
                f"{str(self.path)!r} cannot be written: {error.strerror or error}",
                hint="choose a folder you may write to",
            ) from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Take a row; it is on disk after `flush`."""
        self._waiting.append(to_json(row))

    async def flush(self) -> None:
        """Write what waits, without holding up the loop for long."""
        if self._waiting and self._fd is not None:
            waiting, self._waiting = self._waiting, []
            size = sum(map(len, waiting))
            await self._writing.run(_write, self._fd, waiting, self._redactor, size_bytes=size)

    async def aclose(self) -> None:
        """Write what waits and let go of the file."""
        await self.flush()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _end_last_line(path: Path, fd: int) -> None:
    """Have the next line begin anew: a whole last one gets its end, one cut by a kill goes."""
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
    """JSON of anything; what JSON cannot say becomes its text. A redactor takes out keys."""
    text = to_json(value)
    return text if redactor is None else redactor.json(text)


def _write(fd: int, lines: Sequence[bytes], redactor: Redactor | None) -> None:
    kept = lines if redactor is None else redactor.jsons(lines)
    rest = memoryview(b"\n".join((*kept, b"")))
    while rest:
        rest = rest[os.write(fd, rest) :]
