"""Connections to upstreams: aiohttp's pool and its parser, with less to do for each answer.

Some of this goes through aiohttp's internals; with a version whose internals are not known, aiohttp
is left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any, Final

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_parser import RawResponseMessage
from aiohttp.streams import StreamReader

#: versions of aiohttp whose pool and parser are known to work this way
_KNOWN: Final = ("3.14.",)
#: the longest line of a head that is read
LINE_BYTES: Final = 64 * 1024
#: what is read or written at once
READ_BYTES: Final = 256 * 1024
#: the most lines of a head that are read
MOST_HEADERS: Final = 256
#: connections that are tried before the upstream is taken to be broken
_MOST_SPOILT: Final = 32


def is_known_aiohttp() -> bool:
    """True when aiohttp's internals are those that the gateway knows."""
    return aiohttp.__version__.startswith(_KNOWN)


class Connector(aiohttp.TCPConnector):
    """A pool that hands out no connection on which something came unasked.

    It would be taken for the answer to the next question.
    """

    def __init__(
        self, *, keepalive_seconds: float, sockets: Mapping[str, str] | None = None
    ) -> None:
        self._sockets = sockets or {}  #: Unix sockets by the hosts that stand for them
        super().__init__(limit=0, ttl_dns_cache=300, keepalive_timeout=keepalive_seconds)
        if is_known_aiohttp():
            make: Any = partial(_Answers, loop=self._loop)
            self._factory = make

    async def connect(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection on which nothing has come yet."""
        for _ in range(_MOST_SPOILT):
            if req.proxy is None:
                connection = await super().connect(req, traces, timeout)
            else:
                patience = 2 * timeout.sock_connect if timeout.sock_connect else None
                async with asyncio.timeout(patience):  # it has to connect too
                    connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            if protocol is None or not protocol.should_close:
                return connection
            connection.close()
        raise aiohttp.ClientConnectionError("the upstream sends before it is asked")

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        path = self._sockets.get(req.url.host or "")
        if path is None:
            return await super()._create_connection(req, traces, timeout)
        try:
            async with asyncio.timeout(timeout.sock_connect):
                _, protocol = await self._loop.create_unix_connection(self._factory, path)
        except TimeoutError:
            raise
        except OSError as error:
            raise UnixClientConnectorError(path, req.connection_key, error) from error
        return protocol


class _Answers(ResponseHandler):
    """One connection, with one timer for all answers on it, and one parser for most of them."""

    good_parser: Any = None  #: fit to read the next answer too
    _due_seconds = inf  #: when the upstream has been silent for too long, by the loop's clock

    @property
    def has_good_parser(self) -> bool:
        """True when the next answer needs no new parser."""
        return self.good_parser is not None and self.good_parser is self._parser

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume after a pause; aiohttp calls this after each piece that was read."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the connection and its timer."""
        if exc is not None:
            self._read_what_is_left()
        super().connection_lost(exc)
        super()._drop_timeout()

    def _read_what_is_left(self) -> None:
        """Read what the other side sent before it hung up.

        A write that fails ends the connection before that has been read from the system.
        """
        transport = self.transport
        if transport is None or transport.get_extra_info("sslcontext") is not None:
            return  # below TLS nothing is open any more
        number = transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError):  # nothing more is there
            while data := os.read(number, READ_BYTES):
                self.data_received(data)

    def _drop_timeout(self) -> None:
        self._due_seconds = inf

    def _reschedule_timeout(self) -> None:
        timeout = self._read_timeout
        if not timeout:
            self._due_seconds = inf
            return
        self._due_seconds = self._loop.time() + timeout
        if self._read_timeout_handle is None:
            self._read_timeout_handle = self._loop.call_later(timeout, self._on_time)

    def _on_time(self) -> None:
        """The timer has run out, mostly for an answer that came long ago."""
        self._read_timeout_handle = None
        left = self._due_seconds - self._loop.time()
        if left <= 0:
            self._on_read_timeout()
        elif left < inf:
            self._read_timeout_handle = self._loop.call_later(left, self._on_time)


def ready_for_an_answer(
    protocol: ResponseHandler, silence_seconds: float | None, *, has_body: bool = True
) -> None:
    """Prepare a connection for the answer to its next request; one to a HEAD has no body."""
    ours = protocol if isinstance(protocol, _Answers) else None
    if has_body and ours is not None and ours.has_good_parser:
        return
    protocol.set_response_params(
        skip_payload=not has_body,
        read_until_eof=True,
        auto_decompress=False,
        read_timeout=silence_seconds,
        read_bufsize=READ_BYTES,
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        max_headers=MOST_HEADERS,
    )
    if ours is not None:
        ours.good_parser = ours._parser if has_body else None


async def head_of_answer(protocol: ResponseHandler) -> tuple[RawResponseMessage, StreamReader]:
    """The head of an answer, past any interim ones, and the reader of its body."""
    message, content = await protocol.read()
    while 100 <= message.code < 200 and message.code != 101:
        message, content = await protocol.read()
    if message.chunked and isinstance(protocol, _Answers):
        # it may end with trailers, and then the parser would have the next answer begin with them
        protocol.good_parser = None
    return message, content
