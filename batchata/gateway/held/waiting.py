"""Keeps the connection of a client that waits for a held call open, and then answers it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from batchata.gateway.held.folder import Call, Group
from batchata.gateway.proxy.exchange import CHAT, MESSAGES, Exchange
from batchata.gateway.proxy.http.connections import may_be_gone
from batchata.gateway.proxy.http.forward import cut, response_with
from batchata.gateway.proxy.http.headers import Headers
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.event_streams import chat_events, message_events, response_events

JSON: Final[Headers] = (("Content-Type", "application/json"),)
SSE: Final[Headers] = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
)
#: white space before JSON is JSON, and a line with a colon is a comment among events
_BEATS: Final = {True: b": the gateway waits for a batch\n\n", False: b"\n"}
_ENDING: Final = VendorError(
    status=503, message="the gateway ends; the call is held: ask again", code="gateway_ending"
)


@dataclass(slots=True, eq=False)
class HeldCall:
    """A call in progress; its answer is there once `done` is."""

    call: Call
    done: asyncio.Future[None]
    body: bytes = b""  #: what is sent to the vendor; empty once that is on disk
    exchange: Exchange | None = None  #: of the client that asked first, in this process
    waiting: list[web.BaseRequest] = field(default_factory=list)  #: of connected clients
    group: Group | None = None  #: set once it is being sent to the vendor
    status: int = 0
    answer: bytes = b""

    @property
    def is_awaited(self) -> bool:
        """True while a client that is surely connected waits."""
        return not all(map(may_be_gone, self.waiting))

    def end(self, status: int, answer: bytes) -> None:
        """Set the answer; the first one counts."""
        if not self.done.done():
            self.status, self.answer = status, answer
            self.done.set_result(None)


async def answer(
    request: web.BaseRequest,
    exchange: Exchange,
    held: HeldCall,
    *,
    ending: asyncio.Future[None],
    beat_seconds: float,
) -> web.StreamResponse:
    """Keep a client's connection open until the call has its answer, then send it."""
    opened: web.StreamResponse | None = None
    held.waiting.append(request)
    try:
        while True:
            await asyncio.wait(
                (held.done, ending), timeout=beat_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if held.done.done():
                return await _give(request, exchange, opened, held.status, held.answer)
            if ending.done():
                body = _ENDING.body(exchange.vendor)
                return await _give(request, exchange, opened, _ENDING.status, body)
            if opened is None:
                opened = response_with(200, None, SSE if exchange.is_stream else JSON)
                await opened.prepare(request)
            await opened.write(_BEATS[exchange.is_stream])
    finally:
        held.waiting.remove(request)


async def _give(
    request: web.BaseRequest,
    exchange: Exchange,
    opened: web.StreamResponse | None,
    status: int,
    body: bytes,
) -> web.StreamResponse:
    if exchange.is_stream and (status == 200 or opened is not None):
        events = events_of(exchange, body) if status == 200 else _error_event(exchange, body)
        if opened is None:
            opened = response_with(200, None, SSE)
            await opened.prepare(request)
        for event in events:
            await opened.write(event)
        await opened.write_eof()
        return opened
    if opened is None:
        whole = response_with(status, None, JSON, body)
        await whole.prepare(request)
        return whole
    if status != 200:
        cut(request)  # 200 was sent already: cut off, the client asks again and is told at once
        return opened
    await opened.write(body)
    await opened.write_eof()
    return opened


def events_of(exchange: Exchange, body: bytes) -> list[bytes]:
    """A whole answer as the stream that its client asked for."""
    said: dict[str, Any] = orjson.loads(body)
    if exchange.endpoint == MESSAGES:
        return message_events(said)
    if exchange.endpoint == CHAT:
        options = (exchange.json or {}).get("stream_options")
        wants_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        return chat_events(said, wants_usage=wants_usage)
    return response_events(said)


def _error_event(exchange: Exchange, body: bytes) -> list[bytes]:
    name = b"event: error\n" if exchange.vendor == "anthropic" else b""
    return [b"%bdata: %b\n\n" % (name, body.replace(b"\n", b" "))]
