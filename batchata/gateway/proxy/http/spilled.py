"""Bodies too large for memory: they wait in a file without a name until they are sent."""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
import orjson

from batchata.gateway.proxy.disk.writing import Writing

#: fields of a body up to this length are read
_MOST_FIELD: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Spilled:
    """One body on disk, readable by nobody else and gone with the process; it can be sent again."""

    def __init__(self, boundary: bytes = b"") -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
        self._hash = blake2b(digest_size=16)
        self._boundary = boundary
        self._tail = b""  # not hashed yet: a boundary may begin in it
        self._writing = Writing()
        self.size = 0  #: bytes
        self.unread: frozenset[str] = frozenset()  #: fields that are too long to be read

    @property
    def digest(self) -> str:
        """Equal for equal bodies, whatever the boundary between the parts of a form."""
        found = self._hash.copy()
        found.update(self._tail)
        return found.hexdigest()

    def _hashed(self, piece: bytes) -> None:
        if self._boundary:
            *parts, rest = (self._tail + piece).split(self._boundary)
            end = max(0, len(rest) - len(self._boundary) + 1)
            self._tail, piece = rest[end:], b"".join((*parts, rest[:end]))
        self._hash.update(piece)

    async def add(self, piece: bytes) -> None:
        """Take a piece; OSError when the disk has no room for it."""
        self._hashed(piece)
        self.size += len(piece)
        await self._writing.run(self._write, piece)

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[self._file.write(rest) :]

    async def fields(self) -> Mapping[str, Any] | None:
        """The short fields of the JSON object in it; None if it holds none."""
        return await asyncio.to_thread(self._fields)

    def _fields(self) -> Mapping[str, Any] | None:
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            try:
                short = {
                    name: bytes(raw) if len(memoryview(raw)) <= _MOST_FIELD else None
                    for name, raw in _decode_fields(view).items()
                }
            except (msgspec.DecodeError, RecursionError):
                return None
        self.unread = frozenset(name for name, raw in short.items() if raw is None)
        try:
            return {name: orjson.loads(raw) for name, raw in short.items() if raw is not None}
        except ValueError:
            return None

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from the beginning."""
        place = 0
        while piece := await asyncio.to_thread(os.pread, self._file.fileno(), _PIECE, place):
            place += len(piece)
            yield piece

    def close(self) -> None:
        """Free its room on disk."""
        self._file.close()
