"""Clients' connections: errors in a vendor's shape, and answers after they stop sending."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, InvalidURLError, LineTooLong
from aiohttp.http_parser import HttpRequestParserPy, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from batchata.gateway.proxy.http.forward import CONTINUE, Request, is_begun, what_failed
from batchata.gateway.proxy.http.pool import LINE_BYTES, MOST_HEADERS, READ_BYTES, is_known_aiohttp
from batchata.gateway.proxy.http.serving import Handler, Serving
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.vendors import Vendor

LOG: Final = logging.getLogger("batchata.gateway.http")
#: waits before each check that a client that stopped sending is there (s); the last repeats
_ASKING: Final = (0.005, 0.005, 0.2, 2.0, 15.0)
#: how ordinary requests begin, and how much of one is looked at to tell
_USUAL: Final = (b"POST ", b"GET ", b"PUT ", b"DELETE ", b"HEAD ", b"PATCH ", b"OPTIONS ")
_LOOKED_AT: Final = 2048
_REQUEST_LINE: Final = re.compile(  # possessive: a body, which has no such line, fails at once
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}+ [^\0-\x20\x7f]{1,65536}+ HTTP/1\.[01]\r\n"
)
#: the limits of either parser
_BOUNDS: Final[dict[str, Any]] = {
    "auto_decompress": False,
    "max_line_size": LINE_BYTES,
    "max_field_size": LINE_BYTES,
    "max_headers": MOST_HEADERS,
}
#: clients keep idle connections for about this long
_LEAST_IDLE_SECONDS: Final = 90.0


class Connection(Serving):
    """One client's connection."""

    __slots__ = ("_is_known", "body", "is_half_closed")
    body: aiohttp.StreamReader  #: of the request that was taken last
    is_half_closed: bool  #: its client sends no more, and may be gone

    def __init__(self, manager: Listener, **given: Any) -> None:
        super().__init__(manager, **given)
        self.body = EMPTY_PAYLOAD
        self.is_half_closed = False
        self._is_known = is_known_aiohttp()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Drop references to this connection, so that none needs the garbage collector."""
        super().connection_lost(exc)
        self.body = EMPTY_PAYLOAD

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Give a call this long to end; aiohttp takes twice that, and for 0 it waits for ever."""
        task, seconds = self._task_handler, 15.0 if timeout is None else timeout
        if self._is_known and task is not None and self._request_in_progress:
            self._force_close = True  # no other request is taken after this one
            await asyncio.wait([task], timeout=seconds)
            task.cancel()
        await super().shutdown(max(seconds, 1.0))

    def data_received(self, data: bytes) -> None:
        """Parse what came; a request line that the fast parser refuses is left to the other one."""
        if not data.startswith(_USUAL) or not data[:_LOOKED_AT].isascii():
            data = self._after_odd_line(data)
        super().data_received(data)

    def _after_odd_line(self, data: bytes) -> bytes:
        """What is left to parse; all of it if the parser was changed."""
        parser, found = self._parser, _REQUEST_LINE.match(data)
        if found is None or parser is None or self._upgraded or self._close or self._force_close:
            return data
        if not self._is_known:
            return data
        try:
            parser.feed_data(found.group())
        except (BadHttpMethod, InvalidURLError):  # it had read all requests before this one
            self._parser = _AnyLine(
                self,
                self._loop,
                READ_BYTES,
                payload_exception=web.RequestPayloadError,
                max_msg_queue_size=self._max_msg_queue_size,
                **_BOUNDS,
            )
            return data
        except aiohttp.http.HttpProcessingError:
            return data  # parsing it again raises the same
        return data[found.end() :]

    def eof_received(self) -> bool:  # type: ignore[override]  # aiohttp never keeps it open
        """Keep the connection of a client that sends no more, but may still wait for its answer.

        A client that is gone looks the same until something is written to it.
        """
        if self.is_half_closed:
            return True
        if not self._is_asked():
            return False
        self.is_half_closed = True
        if not self._messages:
            self.close()  # after the answer
        self._ask_later(0)
        return True

    def takes(self, body: aiohttp.StreamReader) -> None:
        """Remember the body of the request that is being answered."""
        self.body = body
        if self.is_half_closed and not self._messages:  # it is the last one
            self.close()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume after a pause; aiohttp calls this after each piece that was read."""
        if self._reading_paused or not self._is_known:
            super().resume_reading(resume_parser)

    def _is_asked(self) -> bool:
        """True when a whole request is here whose answer has not begun."""
        if not self._is_known or not self._request_count:
            return False
        if self._waiter is not None and not self._waiter.done():
            return False
        request = self._current_request
        if request is not None and is_begun(request) and not self._messages:
            return False
        return self.body.is_eof() and (not self._messages or self._messages[-1][1].is_eof())

    def _ask_later(self, number: int) -> None:
        seconds = _ASKING[min(number, len(_ASKING) - 1)]
        asyncio.get_running_loop().call_later(seconds, self._ask_whether_there, number)

    def _ask_whether_there(self, number: int) -> None:
        """Send something that every client ignores; one that is gone resets the connection."""
        transport, request = self.transport, self._current_request
        if transport is None or transport.is_closing():
            return
        if request is not None and not is_begun(request):
            is_told = request.version >= aiohttp.HttpVersion11  # others would take it for an answer
            if not is_told or _is_reset(transport):
                transport.abort()
                return
            transport.write(CONTINUE)
        self._ask_later(number + 1)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be read, or on which the gateway failed.

        Raises ConnectionError if an answer has begun: it ends there.
        """
        if isinstance(exc, ConnectionError):
            raise exc
        found = _unreadable(exc)
        if found is None:
            LOG.error("the gateway failed on a request", exc_info=exc)
            kind = TimeoutError if exc is None else type(exc)  # aiohttp does not hand a timeout on
            failed = f"the gateway failed on this request: {kind.__name__}"
            found = VendorError(status=status, message=failed, code="gateway_failed")
        else:  # quotes nothing: the line that cannot be read may be the one with the key
            what = type(exc).__name__
            LOG.warning("a request was refused: it is not valid HTTP (%s)", what)
        if is_begun(request):
            raise ConnectionResetError("part of the answer is already sent")
        vendor: Vendor = getattr(self._manager, "vendor", "openai")
        response = web.Response(
            body=found.body(vendor), status=found.status, content_type="application/json"
        )
        response.force_close()
        return response


class _AnyLine(HttpRequestParserPy):
    """Reads any method and any bytes in a target, for the last request of a connection."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        """A request, from the lines of its head."""
        method = lines[0].partition(b" ")[0].decode()
        return super().parse_message(lines)._replace(method=method, should_close=True)


def may_be_gone(request: web.BaseRequest) -> bool:
    """True when a client has ended its side of the connection."""
    return request.transport is None or getattr(request.protocol, "is_half_closed", False)


def _unreadable(error: BaseException | None) -> VendorError | None:
    """What is wrong with a request that is not HTTP; None for any other error."""
    if not isinstance(error, aiohttp.http.HttpProcessingError | web.RequestPayloadError):
        return None
    if isinstance(error, LineTooLong):
        return VendorError(
            status=431,
            message=f"a line of this request's head is longer than {LINE_BYTES} bytes",
            code="header_too_large",
        )
    return VendorError(
        status=400,
        message=f"the gateway cannot read this request: {what_failed(error)}",
        code="unreadable_request",
    )


def _is_reset(transport: asyncio.Transport) -> bool:
    """True when the other side has reset the connection."""
    found = transport.get_extra_info("socket")
    try:
        return found is not None and found.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
    except OSError:
        return True


class Listener(web.Server):
    """Makes the connections; it has no application and no router."""

    def __init__(self, handle: Handler, vendor: Vendor, *, idle_seconds: float) -> None:
        super().__init__(handle, request_factory=Request, handler_cancellation=True)
        self._idle_seconds = max(idle_seconds, _LEAST_IDLE_SECONDS)
        self.vendor: Vendor = vendor  #: whose error shape refuses unreadable requests

    def __call__(self) -> Connection:
        """The handler of a connection that a client has just opened."""
        given: dict[str, Any] = {
            "access_log": None,
            "logger": LOG,
            "keepalive_timeout": self._idle_seconds,
            "read_bufsize": READ_BYTES,
            **_BOUNDS,
        }
        return Connection(self, loop=asyncio.get_running_loop(), **given)
