"""To the upstream and back, byte for byte: nothing is decoded, no redirect is followed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.http_writer import StreamWriter
from multidict import CIMultiDict

from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.asking import Asking, Payload, Place
from batchata.gateway.proxy.http.headers import (
    Headers,
    Written,
    end_to_end,
    first,
    head_bytes,
    head_text,
    names_of,
)
from batchata.gateway.proxy.http.pool import (
    LINE_BYTES,
    MOST_HEADERS,
    READ_BYTES,
    Connector,
    is_known_aiohttp,
)
from batchata.gateway.wire.errors import VendorError

#: headers that aiohttp would add and the client did not send
_UNASKED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
#: statuses whose answers have no body
BODILESS: Final = frozenset({*range(100, 200), 204, 304})
#: codes of a 502 or 504 that say what became of the call
UNREACHABLE: Final = "upstream_unreachable"
BROKE_OFF: Final = "upstream_broke_off"
TIMED_OUT: Final = "upstream_timed_out"
#: errors raised before anything of the request was sent
_UNSENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)
#: connection errors that come from the system, not from a library
_BY_SYSTEM: Final = (aiohttp.ClientConnectorError, UnixClientConnectorError)
#: where a message of the parser begins to quote what it read
_QUOTED: Final = re.compile(r":?\s*(?:\n|\bb['\"])")
#: an address with the path and the query of a request
_ADDRESS: Final = re.compile(r"(https?://[^/?#\s]*)\S*")
#: may come before any answer
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Client:
    """The one HTTP session to all upstreams."""

    def __init__(
        self,
        *,
        connect_seconds: float,
        idle_seconds: float,
        keepalive_seconds: float,
        sockets: Mapping[str, str] | None = None,
    ) -> None:
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=None, sock_connect=connect_seconds, sock_read=idle_seconds
        )
        self._keepalive_seconds = keepalive_seconds
        self._sockets = sockets
        self._connector: Connector | None = None
        self._session: aiohttp.ClientSession | None = None
        self._places: dict[tuple[str, ...], Place | None] = {}

    def open(self) -> None:
        """Open the session on the running loop."""
        self._connector = Connector(
            keepalive_seconds=self._keepalive_seconds, sockets=self._sockets
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=self._timeout,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNASKED,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=MOST_HEADERS,
            read_bufsize=READ_BYTES,
        )

    def send(self, exchange: Exchange, payload: Payload) -> Any:
        """Begin the request; returns a context manager of the upstream's response."""
        if self._connector is None or self._session is None:
            raise RuntimeError("the gateway is not running")
        upstream, written = exchange.upstream, exchange.written
        where = upstream.base_url, upstream.outbound_proxy
        if where not in self._places:
            self._places[where] = Place.of(*where)
        place = self._places[where]
        if place is not None:
            if written is None or written.headers is not exchange.headers:
                written = Written.of(exchange.headers)  # an interceptor changed them
            return Asking(
                self._connector,
                place,
                self._timeout,
                method=exchange.method,
                target=exchange.target,
                headers=written,
                payload=payload,
            )
        return self._session.request(
            exchange.method,
            upstream.url(exchange.target),
            headers=CIMultiDict(_spelled_alike(exchange.headers)),
            data=payload,
            allow_redirects=False,
            proxy=upstream.outbound_proxy or None,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _spelled_alike(headers: Headers) -> Headers:
    """Repeated headers in their first spelling: of several, aiohttp keeps only the last."""
    names: dict[str, str] = {}
    return tuple((names.setdefault(name.lower(), name), value) for name, value in headers)


def head_of(upstream: aiohttp.ClientResponse, exchange: Exchange) -> Answered:
    """Status and headers of an upstream's response.

    Raises ClientError for one that cannot be an answer.
    """
    if upstream.status < 200:
        raise aiohttp.ClientError(f"status {upstream.status} does not answer the gateway's request")
    found = upstream.headers
    names = names_of(upstream.raw_headers)
    headers = tuple(zip(names.text, found.values(), strict=True))
    if not names.all_go_on:
        headers = end_to_end(headers)
        coding = found.get("transfer-encoding", "chunked")
        if coding.strip().lower() != "chunked":  # nobody asked for it, and nothing here decodes it
            raise aiohttp.ClientError(f"its transfer encoding is {coding!r}, not chunked")
    request_id = found.get("x-request-id") or found.get("request-id")
    return Answered(status=upstream.status, headers=headers, request_id=request_id)


class Answer(web.StreamResponse):
    """An answer in pieces, with the upstream's header list and nothing else."""

    kept: Headers = ()

    async def _write_headers(self) -> None:
        """Write the head byte for byte; aiohttp drops what is not UTF-8."""
        request, writer = self._req, self._payload_writer
        if request is None or not isinstance(writer, StreamWriter) or not is_known_aiohttp():
            await super()._write_headers()
            return
        lines = [f"{_begin(request.version, self.status)} {self.reason}"]
        lines.extend([f"{name}: {value}" for name, value in self.headers.items()])
        writer._write(head_bytes(head_text(lines)))


class WholeAnswer(web.StreamResponse):
    """An answer in one piece, with the upstream's header list and nothing else."""

    def __init__(self, status: int, reason: str | None, headers: Headers, body: bytes) -> None:
        self._set_status(status, reason)  # all else is for answers that aiohttp writes
        self._kept = headers
        self._whole = body
        self._stays = True
        self._is_written = False

    @property
    def keep_alive(self) -> bool:
        """True when the connection can take more requests."""
        return self._stays

    def force_close(self) -> None:
        """Close the connection after this answer."""
        self._stays = False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write all of it, once."""
        self.write_to(request)
        if request.protocol.writing_paused:
            await request.writer.drain()

    def write_to(self, request: web.BaseRequest) -> None:
        """Write all of it, once; whoever calls waits until the client takes it."""
        if self._is_written:
            return
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away")
        self._stays = self._stays and request.keep_alive
        is_empty = request.method == "HEAD" or self._status in BODILESS
        text = self._head(request, is_empty) + (b"" if is_empty else self._whole)
        self._is_written = True
        if isinstance(request, Request):
            request.is_answered = True
        transport.write(text)

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: `prepare` has written it all."""

    def _head(self, request: web.BaseRequest, is_empty: bool) -> bytes:
        version = request.version
        lines = [f"{_begin(version, self._status)} {self._reason}"]
        lines.extend([f"{name}: {value}" for name, value in self._kept])
        text = head_text(lines)
        if not is_empty and "\r\ncontent-length: " not in text.lower():
            text = f"{text}\r\nContent-Length: {len(self._whole)}"
        if version >= aiohttp.HttpVersion11:
            return head_bytes(text if self._stays else f"{text}\r\nConnection: close")
        return head_bytes(f"{text}\r\nConnection: keep-alive" if self._stays else text)


@lru_cache
def _begin(version: aiohttp.HttpVersion, status: int) -> str:
    """How the first line of an answer begins."""
    return f"HTTP/{version.major}.{version.minor} {status}"


def response_with(
    status: int, reason: str | None, headers: Headers, body: bytes | None = None
) -> web.StreamResponse:
    """A response with only these headers; without a body it is written in pieces."""
    if body is not None:
        return WholeAnswer(status, reason, headers, body)
    response = Answer(status=status, reason=reason)
    response.kept = headers
    length = first(headers, "content-length")
    if length.isdigit():
        response.content_length = int(length)
    return response


class Request(web.BaseRequest):
    """A request whose answer has only the upstream's headers."""

    is_answered = False  #: in one piece

    def __init__(
        self,
        message: Any,
        payload: Any,
        protocol: Any,
        writer: Any,
        task: asyncio.Task[None],
    ) -> None:
        if message.chunked:  # aiohttp's parser may give its trailers to the next request
            message = message._replace(should_close=True)
        super().__init__(
            message, payload, protocol, writer, task, task.get_loop(), client_max_size=0
        )
        protocol.takes(payload)

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Take out the headers that aiohttp added, just before a response leaves."""
        if isinstance(response, Answer):
            keep_headers(response)
            if self.version < aiohttp.HttpVersion11 and response.content_length is None:
                response.force_close()  # nothing else tells where it ends
        else:  # do not tell strangers what software runs here
            response.headers.pop("Server", None)


def is_begun(request: web.BaseRequest) -> bool:
    """True when at least a part of its answer was sent."""
    return getattr(request, "is_answered", False) or request.writer.output_size > 0


async def go_on(request: web.BaseRequest) -> None:
    """Send `100 Continue` to a client that waits; older ones would take it for the answer."""
    is_told = request.version >= aiohttp.HttpVersion11
    if is_told and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # the answer itself has not begun


def keep_headers(response: Answer) -> None:
    """Keep only the upstream's header list and the framing of this connection."""
    kept = response.kept
    headers = response.headers
    framing = [
        (name, value)
        for name, value in headers.items()
        if name in ("Transfer-Encoding", "Connection", "Content-Length")
    ]
    headers.clear()
    names = {name.lower() for name, _ in kept}
    headers.extend(kept)
    for name, value in framing:
        if name != "Content-Length" or "content-length" not in names:
            if name == "Content-Length" and response.status in (204, 304):
                continue
            headers.add(name, value)


def upstream_error(error: BaseException, exchange: Exchange) -> VendorError:
    """Why the upstream gave no answer, as a vendor's error."""
    upstream = exchange.upstream
    way = f", by way of {_host_of(upstream.outbound_proxy)}" if upstream.outbound_proxy else ""
    place = f"{upstream.name} ({upstream.address}{way})"
    said = _plainly(error)
    if isinstance(error, TimeoutError):
        code = UNREACHABLE if surely_unsent(error) else TIMED_OUT
        message = f"the gateway's upstream {place} did not answer in time: {said}"
        return VendorError(status=504, message=message, code=code)
    is_unsent = surely_unsent(error)
    what, code = ("cannot be reached", UNREACHABLE) if is_unsent else ("broke off", BROKE_OFF)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        said += "; for an authority of your own, set SSL_CERT_FILE to its file"
    message = f"the gateway's upstream {place} {what}: {said}"
    return VendorError(status=502, message=message, code=code)


def _plainly(error: BaseException) -> str:
    """Why a connection was not made, in the system's words; any other error with its name."""
    if type(error) is aiohttp.ClientConnectorDNSError:
        return f"its name cannot be looked up ({error.os_error.strerror})"
    if isinstance(error, aiohttp.ClientConnectorError) and type(error) in _BY_SYSTEM:
        number = error.os_error.errno
        return os.strerror(number) if number else what_failed(error)
    text = what_failed(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def what_failed(error: BaseException) -> str:
    """An error in one line, without the address and what was read: there may be a key in them."""
    has_words = aiohttp.ClientResponseError, aiohttp.http.HttpProcessingError
    text = error.message if isinstance(error, has_words) else str(error)
    if isinstance(error, aiohttp.ServerDisconnectedError):  # it quotes the head that it has read
        text = "it hung up"
    return _ADDRESS.sub(r"\1", _QUOTED.split(text, 1)[0])


def surely_unsent(error: BaseException) -> bool:
    """True when the upstream cannot have seen the request."""
    return isinstance(error, _UNSENT)


def _host_of(address: str) -> str:
    """An address without any user or password in it."""
    return address.rpartition("@")[2].removeprefix("http://")


def cut(request: web.BaseRequest) -> None:
    """End a half-sent answer so that the client sees it is not whole."""
    if request.transport is not None:
        with contextlib.suppress(OSError):
            request.transport.close()


async def wait_seconds(seconds: float) -> None:
    """Wait, if a recorded pace asks for it."""
    if seconds > 0:
        await asyncio.sleep(seconds)
