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
from time import monotonic
from typing import Any, Final

import aiohttp
from aiohttp.client_exceptions import UnixClientConnectorError
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection

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
            make: Any = partial(Answers, loop=self._loop)
            self._factory = make

    def idle(self, key: ConnectionKey) -> Answers | None:
        """An idle connection, to be given back; None if there is none or the next one is spoilt."""
        waiting: Any = self._conns.get(key)
        if not waiting:
            return None
        protocol: Answers
        protocol, since_seconds = waiting[0]
        transport = protocol.transport
        if transport is None or transport.is_closing() or not protocol.is_unspoilt():
            return None
        if monotonic() - since_seconds > self._keepalive_timeout:
            return None
        waiting.popleft()
        self._acquired.add(protocol)
        return protocol

    async def opened(self, req: ClientRequest, timeout: aiohttp.ClientTimeout) -> Answers:
        """A connection on which nothing has come yet, to be given back."""
        connection: Any = await self.connect(req, [], timeout)
        protocol: Answers = connection.protocol
        connection._protocol = None  # or it would give it back too
        return protocol

    def give_back(self, key: ConnectionKey, protocol: Answers) -> None:
        """Keep a connection whose answer was read to its end, if it is good for another one."""
        if self._cleanup_handle is None or not protocol.is_quiet:
            self._release(key, protocol)
            return
        self._acquired.discard(protocol)
        self._conns[key].append((protocol, monotonic()))

    def end(self, key: ConnectionKey, protocol: Answers) -> None:
        """End a connection at once, even if the other side takes no more of what was written."""
        protocol.abort()
        self._release(key, protocol, should_close=True)

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
            if isinstance(protocol, Answers):
                is_good = protocol.is_unspoilt()
            else:
                is_good = protocol is None or not protocol.should_close
            if is_good:
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


class Answers(ResponseHandler):
    """One connection, with one timer for all answers on it, and one parser for most of them."""

    _good_parser: Any = None  #: fit to read the next answer too
    _silent_since = inf  #: by the loop's clock; infinite while nothing is awaited

    @property
    def is_quiet(self) -> bool:
        """True when nothing is awaited, and nothing came after the end of the last answer."""
        return (
            self._silent_since == inf
            and not self._buffer
            and not self._should_close
            and not self._upgraded
        )

    def is_unspoilt(self) -> bool:
        """True when an idle connection is good for a question: not even a part came unasked."""
        parser = self._parser
        if parser is not None and self.is_quiet and parser.feed_eof() is not None:
            self._should_close = True  # it came in one piece with the end of the last answer
        return self.is_quiet

    @property
    def should_close(self) -> bool:
        """True unless the last answer was read to its end and nothing came after it."""
        payload = self._payload
        return not self.is_quiet or (payload is not None and not payload.is_eof())

    def ready(self, silence_seconds: float | None, *, has_body: bool = True) -> None:
        """Prepare for the answer to the next request; one to a HEAD has no body."""
        parser = self._good_parser
        if has_body and parser is not None and parser is self._parser:
            return
        self.set_response_params(
            skip_payload=not has_body,
            read_until_eof=True,
            auto_decompress=False,
            read_timeout=silence_seconds,
            read_bufsize=READ_BYTES,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=MOST_HEADERS,
        )
        self._good_parser = self._parser if has_body else None

    def await_more(self) -> None:
        """Go on waiting after an interim answer, which aiohttp takes for a whole one."""
        if not self._buffer:
            self.start_timeout()

    def drop_parser(self) -> None:
        """Read the next answer with a new parser.

        A chunked one may end with trailers, and its parser would have the next one begin with them.
        """
        self._good_parser = None

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
        self._silent_since = inf

    def start_timeout(self) -> None:
        """Wait from now on; aiohttp calls this for each piece that comes, too."""
        self._silent_since = self._loop.time()
        timeout = self._read_timeout
        if self._read_timeout_handle is None and timeout:
            self._read_timeout_handle = self._loop.call_later(timeout, self._on_time)

    _reschedule_timeout = start_timeout

    def _on_time(self) -> None:
        """The timer has run out, mostly for an answer that came long ago."""
        self._read_timeout_handle = None
        left = self._silent_since + (self._read_timeout or inf) - self._loop.time()
        if left <= 0:
            self._on_read_timeout()
        elif left < inf:
            self._read_timeout_handle = self._loop.call_later(left, self._on_time)
