"""A question whose body is at hand, written in one piece on a connection of aiohttp's pool.

`ClientSession.request` builds a request, an address, a payload and a task for each call; a question
to a model needs none of them, and its header list goes out as it came. The pool and the parser are
aiohttp's, reached by parts that are not its public face: with a version whose parts are not known,
questions go the public way.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import aiohttp
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from multidict import CIMultiDictProxy
from yarl import URL

from batchata.gateway.proxy.http.headers import Headers, has, head_lines
from batchata.gateway.proxy.http.pool import is_known_aiohttp, ready_for_an_answer


class _Known(ClientRequest):
    """What the pool is asked with, for any number of calls to one place."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        """What the pool knows connections to this place by."""
        return super().connection_key


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upstream is: what the pool knows it by, and what requests to it begin with."""

    request: ClientRequest
    host: str
    path: str

    @classmethod
    def of(cls, base_url: str) -> Place | None:
        """The place of an address; None where questions go the public way.

        That is for an address with a user and a password in it, and for another aiohttp.
        """
        if not is_known_aiohttp():
            return None
        url = URL(base_url, encoded=True)
        if url.raw_user is not None or url.raw_password is not None:
            return None
        request = _Known("POST", url, loop=asyncio.get_running_loop())
        path = base_url.partition("://")[2].partition("/")
        return cls(request, request.headers["Host"], "".join(path[1:]))

    def head(self, target: str, headers: Headers, length: int) -> bytes:
        """The first lines of a POST request, up to the empty one.

        Raises ValueError for headers that would be more than they say.
        """
        lines = [f"POST {self.path}{target} HTTP/1.1", f"Host: {self.host}"]
        lines.extend([f"{name}: {value}" for name, value in headers])
        if not has(headers, "content-length"):
            lines.append(f"Content-Length: {length}")
        return head_lines(lines)


class Asking:
    """One question and its answer; leaving the block frees the connection."""

    __slots__ = (
        "_connection",
        "_connector",
        "_place",
        "_text",
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
        connector: aiohttp.BaseConnector,
        place: Place,
        timeout: aiohttp.ClientTimeout,
        text: bytes,
    ) -> None:
        self._connector = connector
        self._place = place
        self._timeout = timeout
        self._text = text

    async def __aenter__(self) -> Self:
        """Send the question and wait for the head of its answer."""
        try:
            self._connection = await self._connector.connect(self._place.request, [], self._timeout)
        except TimeoutError as error:
            where = self._place.request.url
            raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {where}") from error
        try:
            await self._head()
        except BaseException:
            self._connection.close()
            raise
        self.content.on_eof(self._free)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Keep a connection whose answer was read to its end; end any other."""
        self._free()

    async def _head(self) -> None:
        protocol, transport = self._connection.protocol, self._connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        ready_for_an_answer(protocol, self._timeout.sock_read)
        transport.write(self._text)
        protocol.start_timeout()
        try:
            message, content = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:
                message, content = await protocol.read()
        except aiohttp.http.HttpProcessingError as error:
            raise aiohttp.ClientError(f"not HTTP: {error.message}") from error
        self.status, self.reason = message.code, message.reason
        self.headers, self.raw_headers = message.headers, message.raw_headers
        self.content = content

    def _free(self) -> None:
        transport = self._connection.transport
        if transport is not None and transport.get_write_buffer_size():
            self._connection.close()  # an answer to half a question
        else:
            self._connection.release()
