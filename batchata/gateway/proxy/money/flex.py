"""OpenAI's flex tier: asked for at half the price, and given up where it has no room."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import aiohttp
import orjson

from batchata.gateway.proxy.chain import put_in
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.asking import Payload
from batchata.gateway.proxy.http.forward import Client
from batchata.gateway.proxy.interceptor import Replace
from batchata.gateway.proxy.reading.sse import whole
from batchata.gateway.wire.objects import without_fields

LOG: Final = logging.getLogger("batchata.gateway")
_MARK: Final = b'{"service_tier":"flex",'
#: how much of a refusal is read to understand it
_MOST: Final = 64 * 1024


class Content(Protocol):
    """A body, piece by piece."""

    async def readany(self) -> bytes: ...

    def at_eof(self) -> bool: ...


class _LookedAt:
    """A body whose beginning has already been read."""

    def __init__(self, head: bytes, rest: Content) -> None:
        self._head = head
        self._rest = rest

    async def readany(self) -> bytes:
        head, self._head = self._head, b""
        return head or await self._rest.readany()

    def at_eof(self) -> bool:
        return not self._head and self._rest.at_eof()


def on_flex(body: bytes) -> bytes:
    """A JSON object with the tier put first; all else stays as it was written."""
    return _MARK + body.lstrip().removeprefix(b"{")


@asynccontextmanager
async def asked(
    client: Client, exchange: Exchange, payload: Payload
) -> AsyncIterator[tuple[aiohttp.ClientResponse, Content]]:
    """The upstream's response to a call on flex, and its body; asked again if flex is full."""
    async with client.send(exchange, payload) as upstream:
        if upstream.status not in (400, 429):
            yield upstream, upstream.content
            return
        head = await _beginning(upstream.content)
        why = flex_refusal(upstream.status, head, upstream.headers.get("Content-Encoding", ""))
        if not why:
            yield upstream, _LookedAt(head, upstream.content)
            return
    LOG.info("exchange %s: asked again without flex: %s", exchange.id, why)
    _leave_flex(exchange)
    async with client.send(exchange, exchange.body) as upstream:
        yield upstream, upstream.content


def flex_refusal(status: int, body: bytes, encoding: str = "") -> str:
    """Why a request was refused that the standard tier may take; empty for all other refusals."""
    try:
        error = orjson.loads(whole(body, encoding, _MOST) or b"")["error"]
        said = str(error.get("message") or "")
        kinds = f"{error.get('code')} {error.get('type')} {said}".lower().replace("_", " ")
        is_tier = error.get("param") == "service_tier" or "service tier" in kinds
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""
    if (status == 429 and "resource unavailable" in kinds) or (status == 400 and is_tier):
        return said or kinds
    return ""


async def _beginning(content: Content) -> bytes:
    read = bytearray()
    while len(read) < _MOST and (piece := await content.readany()):
        read += piece
    return bytes(read)


def _leave_flex(exchange: Exchange) -> None:
    body = exchange.body or b""
    if body.startswith(_MARK):
        body = b"{" + body.removeprefix(_MARK)
    else:  # an interceptor has rewritten it
        body = without_fields(body, ("service_tier",))
    exchange.is_on_flex = False
    put_in(exchange, Replace(body=body))
