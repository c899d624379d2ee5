"""Requests written to connections of aiohttp's pool, with headers just as the client wrote them.

`ClientSession.request` builds a request, an address, a payload and a task for each call, adds
headers, spells some of them its own way and drops bytes that are not UTF-8. The pool and the parser
are aiohttp's, reached through its internals: with a version whose internals are not known, requests
go through its public API.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.helpers import strip_auth_from_url
from multidict import CIMultiDictProxy
from yarl import URL

from batchata.gateway.proxy.http.headers import Written, head_line
from batchata.gateway.proxy.http.pool import READ_BYTES, Answers, Connector, is_known_aiohttp
from batchata.gateway.proxy.http.sending import Sending

Payload = bytes | AsyncIterator[bytes] | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upstream is: its key in the pool, and what requests to it begin with."""

    request: ClientRequest  #: asks the pool for a new connection
    key: ConnectionKey
    host_line: str
    server: str  #: its address for a proxy
    begin: str  #: what goes before a target
    own_lines: str  #: headers for a proxy

    @classmethod
    def of(cls, base_url: str, outbound_proxy: str = "") -> Place | None:
        """The place of an address; None where requests go through aiohttp's public API.

        They do for an address with a user and a password in it, and with an unknown aiohttp.
        """
        if not is_known_aiohttp():
            return None
        url = URL(base_url, encoded=True)
        if url.raw_user is not None or url.raw_password is not None:
            return None
        proxy, auth = strip_auth_from_url(URL(outbound_proxy)) if outbound_proxy else (None, None)
        loop = asyncio.get_running_loop()
        request = ClientRequest("POST", url, loop=loop, proxy=proxy, proxy_auth=auth)
        host, slash, rest = base_url.partition("://")[2].partition("/")
        reads_requests = proxy is not None and not request.is_ssl()
        server = f"http://{host}" if reads_requests else ""
        return cls(
            request,
            request.connection_key,
            head_line(f"Host: {request.headers['Host']}"),
            server,
            f"{server}{slash}{rest}",
            head_line(f"Proxy-Authorization: {auth.encode()}") if reads_requests and auth else "",
        )

    def head(self, method: str, target: str, headers: Written, payload: Payload) -> bytes:
        """The head of a request, up to the empty line.

        Raises ValueError for a target that would smuggle in headers.
        """
        where = self.server or target if target == "*" else f"{self.begin}{target}"
        begin = head_line(f"{method} {where} HTTP/1.1")
        framing = ""
        if payload is not None and not headers.has_length:
            framing = (
                f"Content-Length: {len(payload)}\r\n"
                if isinstance(payload, bytes)
                else "Transfer-Encoding: chunked\r\n"
            )
        text = f"{begin}{self.host_line}{headers.lines}{self.own_lines}{framing}\r\n"
        return text.encode("utf-8", "surrogateescape")


class Asking:
    """One request and its answer; leaving the block frees the connection."""

    __slots__ = (
        "_connector",
        "_has_body",
        "_head",
        "_is_chunked",
        "_is_free",
        "_payload",
        "_place",
        "_protocol",
        "_sending",
        "_timeout",
        "content",
        "headers",
        "raw_headers",
        "reason",
        "status",
    )
    content: aiohttp.StreamReader
    headers: CIMultiDictProxy[str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    reason: str
    status: int

    def __init__(
        self,
        connector: Connector,
        place: Place,
        timeout: aiohttp.ClientTimeout,
        *,
        method: str,
        target: str,
        headers: Written,
        payload: Payload,
    ) -> None:
        self._connector = connector
        self._place = place
        self._timeout = timeout
        self._head = place.head(method, target, headers, payload)
        self._has_body = method != "HEAD"
        self._payload = payload
        self._is_chunked = not isinstance(payload, bytes) and not headers.has_length
        self._sending: Sending | None = None
        self._is_free = False

    async def __aenter__(self) -> Self:
        """Send the request and wait for the head of its answer."""
        protocol = self._connector.idle(self._place.key)
        if protocol is None:
            protocol = await self._opened()
        self._protocol = protocol
        try:
            protocol.ready(self._timeout.sock_read, has_body=self._has_body)
            self._send(protocol)
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                if self._sending is None or self._sending.is_whole:
                    protocol.await_more()
                message, content = await protocol.read()
        except BaseException as error:
            self._cut()
            if isinstance(error, aiohttp.http.HttpProcessingError):
                raise aiohttp.ClientError(f"not HTTP: {error.message}") from error
            raise
        if message.chunked:
            protocol.drop_parser()
        if self._sending is not None:
            self._sending.is_answered = True
        self.status, self.reason = message.code, message.reason
        self.headers, self.raw_headers = message.headers, message.raw_headers
        self.content = content
        content.on_eof(self._free)
        return self

    async def __aexit__(self, *error: object) -> None:
        """End a connection whose answer was not read to its end."""
        if not self._is_free:
            self._is_free = True
            self._cut()

    async def _opened(self) -> Answers:
        try:
            return await self._connector.opened(self._place.request, self._timeout)
        except TimeoutError as error:
            where = self._place.request.url
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {where}") from error

    def _send(self, protocol: Answers) -> None:
        transport, payload = protocol.transport, self._payload
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if payload is None or (isinstance(payload, bytes) and len(payload) <= READ_BYTES):
            transport.write(self._head + payload if payload else self._head)
            protocol.start_timeout()
            return
        transport.write(self._head)
        self._sending = Sending(
            protocol,
            _in_pieces(payload) if isinstance(payload, bytes) else payload,
            is_chunked=self._is_chunked,
            silence_seconds=self._timeout.sock_read,
        )

    def _free(self) -> None:
        """Keep the connection of an answer that was read to its end."""
        if self._is_free:
            return
        self._is_free = True
        protocol, sending = self._protocol, self._sending
        transport = protocol.transport
        is_half = sending is not None and not sending.is_whole
        if is_half or (transport is not None and transport.get_write_buffer_size()):
            self._cut()  # answered before the request was whole
        else:
            self._connector.give_back(self._place.key, protocol)

    def _cut(self) -> None:
        """End the connection at once."""
        if self._sending is not None:
            self._sending.stop()
        self._connector.end(self._place.key, self._protocol)


async def _in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """A large body in pieces, so that other calls get their turn."""
    view = memoryview(data)
    for start in range(0, len(data), READ_BYTES):
        yield bytes(view[start : start + READ_BYTES])
