"""Requests of a connection one after the other, each in a task of its own.

aiohttp has a second task that waits for the first, and between requests for the next. Here the task
of a request is the only one. Answers in pieces, upgrades and what is no HTTP are left to aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import cached_property
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter

from batchata.gateway.proxy.http.forward import Request, WholeAnswer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: versions of aiohttp whose server is known to work this way; any other serves in its own way
KNOWN: Final = ("3.14.4", "3.14.5")


class Serving(web.RequestHandler):
    """A connection that has a task only while it answers."""

    __slots__ = ("_context", "_idle")

    def __init__(self, manager: web.Server, **given: Any) -> None:
        super().__init__(manager, **given)
        self._context = copy_context()
        self._idle: Any = _Idle(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Drop references to this connection, so that none needs the garbage collector."""
        super().connection_lost(exc)
        self._idle = None

    async def start(self) -> None:
        """Wait for requests."""
        if aiohttp.__version__ in KNOWN:
            self._go_on()
        else:
            await super().start()

    def begin(self) -> None:
        """Answer the request that came first; it sees the context variables of no other."""
        self._waiter = None
        self._task_handler = asyncio.Task(
            self._answer_first(), loop=self._loop, context=self._context.copy()
        )

    def _go_on(self) -> None:
        if self._messages:
            self.begin()
        else:
            self._waiter = self._idle

    async def _answer_first(self) -> None:
        if not isinstance(self._messages[0][0], RawRequestMessage):  # it cannot be read
            await super().start()
            return
        request = self._first_request()
        try:
            await self._answer(request)
        except ConnectionError:  # the client is gone
            self._keepalive = False
        except Exception as error:  # noqa: BLE001  # whatever it is, only this connection ends
            self.log_exception("Unhandled exception", exc_info=error)
            self.force_close()
        except BaseException:
            self.force_close()
            raise
        finally:
            request._task = None  # type: ignore[assignment]  # or the task would hold itself
        if self._force_close:
            return
        if self._keepalive and not self._close:
            self._stay_open()
            self._go_on()
        elif self.transport is not None:
            self.transport.close()

    def _first_request(self) -> web.BaseRequest:
        manager: Any = self._manager
        parser: Any = self._parser
        message, payload = self._messages.popleft()
        parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        manager.requests_count += 1
        return _request(message, payload, self)

    async def _answer(self, request: web.BaseRequest) -> None:
        """Answer a request; raises ConnectionError if its client is gone."""
        handle: Any = self._request_handler
        self._request_in_progress, self._current_request = True, request
        try:
            try:
                answer = await handle(request)
            except Exception as error:  # noqa: BLE001  # the client is told of any
                answer = self._failed(request, error)
            if isinstance(answer, WholeAnswer) and not self._upgraded:
                answer.write_to(request)
                if self._paused:
                    await self._drain_helper()
            else:
                answer, is_gone = await self.finish_response(request, answer, None)
                if is_gone:
                    raise ConnectionResetError
        finally:
            self._request_in_progress, self._current_request = False, None
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)
        self._keepalive = bool(answer.keep_alive)
        if not request.content.at_eof():
            await self._let_go(request.content)

    def _failed(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        if isinstance(error, web.HTTPException):
            return error
        if isinstance(error, TimeoutError):
            return self.handle_error(request, 504)
        return self.handle_error(request, 500, error)

    async def _let_go(self, rest: aiohttp.StreamReader) -> None:
        """Drop what still comes of a request; one that does not end closes the connection."""
        try:
            async with asyncio.timeout(0 if self._force_close else self._lingering_time):
                while not rest.is_eof():
                    await rest.readany()
        except TimeoutError:
            self.close()
        rest.set_exception(web.PayloadAccessError())

    def _stay_open(self) -> None:
        """Close the connection if no request comes for a while."""
        ends_at = self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(ends_at, self._process_keepalive)


class _LeanRequest(Request):
    """A request without what nobody here asks of one; its writer is made when it is used."""

    _client_max_size = 0
    _client_max_fields = 0
    _transport_sslcontext = None
    _transport_peername = None
    _transport_sockname = None

    def __init__(self, message: Any, payload: Any, connection: Any) -> None:
        self._message = message
        self._payload = payload
        self._protocol = connection
        self._loop = connection._loop
        self._task = connection._task_handler
        self._method = message.method
        self._version = message.version
        self._headers = message.headers
        self._rel_url = message.url
        self._cache = {}
        self._state = {}
        connection.takes(payload)

    @cached_property
    def _payload_writer(self) -> StreamWriter:  # type: ignore[override]
        return StreamWriter(self._protocol, self._loop)


def _request(message: Any, payload: Any, connection: Any) -> Request:
    if message.chunked or message.url.absolute:
        writer = StreamWriter(connection, connection._loop)
        return Request(message, payload, connection, writer, connection._task_handler)
    return _LeanRequest(message, payload, connection)


class _Idle:
    """Stands where aiohttp has the future of the next request; once that is here, it begins."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Serving) -> None:
        self._connection = connection

    def done(self) -> bool:
        """False: it waits."""
        return False

    def set_result(self, _: None) -> None:
        """A request has come."""
        self._connection.begin()

    def cancel(self) -> None:
        """No other request is taken."""
        self._connection._waiter = None
