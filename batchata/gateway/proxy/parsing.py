"""A request's body: read where it is JSON of a bearable size, passed on in any case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from batchata.gateway.proxy.sse import whole


@dataclass(frozen=True, slots=True)
class Body:
    """What a client sends: all of it, or the pieces as they come."""

    data: bytes | None = None
    pieces: AsyncIterator[bytes] | None = None
    text: bytes | None = None  #: the JSON in it, content encoding undone

    @property
    def payload(self) -> bytes | AsyncIterator[bytes] | None:
        """What the upstream is sent."""
        return self.data if self.pieces is None else self.pieces


async def take_body(request: web.BaseRequest, most: int) -> Body:
    """Read a JSON body of up to `most` bytes; pass all others on as they come."""
    if not request.can_read_body:
        return Body()
    content = request.content
    is_json = "json" in request.headers.get("Content-Type", "").lower()
    length = request.content_length
    if not is_json or (length is not None and length > most):
        return Body(pieces=content.iter_any())
    parts: list[bytes] = []
    size = 0
    while size <= most:
        part = await content.readany()
        if not part:
            data = parts[0] if len(parts) == 1 else b"".join(parts)
            encoding = request.headers.get("Content-Encoding", "")
            return Body(data=data, text=whole(data, encoding, most) if encoding else data)
        parts.append(part)
        size += len(part)
    return Body(pieces=_rest(parts, content.iter_any()))


async def _rest(parts: list[bytes], more: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
    async for part in more:
        yield part


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
