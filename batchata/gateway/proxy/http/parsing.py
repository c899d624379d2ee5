"""A request's body: read if it is JSON of a reasonable size, passed on in any case."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec
import orjson
from aiohttp import StreamReader, web

from batchata.gateway.proxy.http.spilled import Spilled
from batchata.gateway.proxy.reading.sse import whole

#: the boundary between the parts of a form: a new one for each request
_BOUNDARY: Final = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How large bodies may be, in bytes, and how long they may stall."""

    memory: int  #: larger ones are not held in memory
    disk: int  #: larger questions are refused
    idle_seconds: float  #: silence after which a client is no longer waited for
    takes_all: bool = False  #: bodies that are not questions are taken in too


class Body(msgspec.Struct, frozen=True):
    """What a client sends: all of it, in memory or on disk, or the pieces as they come."""

    data: bytes | None = None
    pieces: AsyncIterator[bytes] | None = None
    text: bytes | None = None  #: the JSON in it, content encoding undone
    spilled: Spilled | None = None
    begun: Spilled | None = None  #: the first pieces, if there are more than the disk takes

    @property
    def is_empty(self) -> bool:
        """True for a request without a body."""
        return not self.data and self.pieces is None and self.spilled is None

    @property
    def payload(self) -> bytes | AsyncIterator[bytes] | None:
        """What the upstream is sent."""
        if self.spilled is not None:
            return self.spilled.pieces()
        return self.data if self.pieces is None else self.pieces

    def close(self) -> None:
        """Free what is on disk."""
        for each in (self.spilled, self.begun):
            if each is not None:
                each.close()


class BodyTooLargeError(Exception):
    """A body that neither memory nor disk may hold."""


class StalledBodyError(Exception):
    """A body whose client stopped sending it."""


async def take_body(request: web.BaseRequest, limits: Limits, *, is_question: bool) -> Body:
    """Read a JSON body, a question's even if it is large; pass all others on as they come.

    With `takes_all` those wait on disk too, except for what exceeds the limit there.
    Raises BodyTooLargeError, StalledBodyError.
    """
    content = request.content
    if content.at_eof():
        return Body()
    is_json = "json" in request.headers.get("Content-Type", "").lower()
    if is_json and content.is_eof() and content.total_bytes <= limits.memory:  # all of it is here
        return _whole(request, content.read_nowait(), limits)
    read = partial(_next, content, limits.idle_seconds)
    if not is_json:
        return await _other(request, limits, _pieces(read))
    length = request.content_length
    parts: list[bytes] = []
    size = 0
    while size <= limits.memory and (length is None or length <= limits.memory):
        part = await read()
        if not part:
            return _whole(request, parts[0] if len(parts) == 1 else b"".join(parts), limits)
        parts.append(part)
        size += len(part)
    rest = _in_turn(_these(parts), _pieces(read))
    if not is_question:
        return await _other(request, limits, rest)
    if length is not None and length > limits.disk:
        raise BodyTooLargeError(f"it has {length} bytes")
    spilled, over = await _spilled(rest, limits.disk)
    if over:
        if spilled is not None:
            spilled.close()
        raise BodyTooLargeError(f"it has more than {limits.disk} bytes")
    return Body(spilled=spilled)


async def _other(request: web.BaseRequest, limits: Limits, pieces: AsyncIterator[bytes]) -> Body:
    """A body that is not a question to a model, such as an upload."""
    if not limits.takes_all or (request.content_length or 0) > limits.disk:
        return Body(pieces=pieces)
    found = _BOUNDARY.search(request.headers.get("Content-Type", ""))
    boundary = (found[1] or found[2]).encode("latin-1", "replace") if found else b""
    spilled, over = await _spilled(pieces, limits.disk, boundary)
    if spilled is None or not over:
        return Body(spilled=spilled)
    return Body(pieces=_in_turn(spilled.pieces(), _these([over]), pieces), begun=spilled)


def _whole(request: web.BaseRequest, data: bytes, limits: Limits) -> Body:
    encoding = request.headers.get("Content-Encoding", "")
    return Body(data=data, text=whole(data, encoding, limits.memory) if encoding else data)


async def _next(content: StreamReader, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds):
            return await content.readany()
    except TimeoutError as error:
        raise StalledBodyError(f"none of it arrived for {seconds:g} seconds") from error


async def _pieces(read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    while piece := await read():
        yield piece


async def _spilled(
    pieces: AsyncIterator[bytes], most: int, boundary: bytes = b""
) -> tuple[Spilled | None, bytes]:
    """The pieces that fit on disk, and the first one that does not."""
    spilled: Spilled | None = None
    try:
        async for piece in pieces:
            try:
                spilled = spilled or Spilled(boundary)
                if spilled.size + len(piece) > most:
                    return spilled, piece
                await spilled.add(piece)
            except OSError as error:
                raise BodyTooLargeError(f"no room on disk: {error.strerror or error}") from error
    except BaseException:
        if spilled is not None:
            spilled.close()
        raise
    return spilled, b""


async def _these(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def _in_turn(*all_of_it: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for pieces in all_of_it:
        async for piece in pieces:
            yield piece


def parse_body(text: bytes | None) -> tuple[Mapping[str, Any] | None, str]:
    """The JSON object of a body and the model it names; None when there is none."""
    if not text:
        return None, ""
    try:
        found = orjson.loads(text)
    except ValueError:
        return None, ""
    if not isinstance(found, dict):
        return None, ""
    model = found.get("model")
    return found, model if isinstance(model, str) else ""
