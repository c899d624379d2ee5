"""A connection to an upstream serves many answers with one timer, and none of them is another's."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from batchata.gateway.proxy.http.pool import Connector

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Timers(asyncio.AbstractEventLoop):
    """A loop whose time is set, and whose timers are run by hand."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = 0.0
        self.waiting: list[tuple[float, Callable[..., object]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        found = (self.now + delay, callback)
        self.waiting.append(found)
        return Timer(lambda: self.waiting.remove(found))

    def create_future(self) -> Any:
        return self._loop.create_future()

    def run_until(self, now: float) -> None:
        self.now = now
        for found in [each for each in self.waiting if each[0] <= now]:
            self.waiting.remove(found)
            found[1]()


class Timer:
    def __init__(self, cancel: Callable[[], object]) -> None:
        self.cancel = cancel


async def connection() -> tuple[Any, Timers]:
    """What the pool makes of a new connection."""
    connector = Connector(keepalive_seconds=1)
    timers = Timers(asyncio.get_running_loop())
    made = connector._factory.func(loop=timers)
    await connector.close()
    return made, timers


def ask(made: Any) -> None:
    made.ready(10.0)
    made.start_timeout()


async def answer(made: Any) -> bytes:
    made.data_received(WHOLE)
    _, content = await made.read()
    return bytes(await content.readany())


def test_answers_in_a_row_share_a_timer() -> None:
    async def play() -> None:
        made, timers = await connection()
        for moment in (0.0, 4.0, 8.0):
            timers.now = moment
            ask(made)
            assert await answer(made) == b"hi"

        assert len(timers.waiting) == 1
        timers.run_until(10.0)
        assert made.exception() is None
        assert not timers.waiting
        assert not made.should_close

    asyncio.run(play())


def test_an_upstream_that_is_silent_for_too_long_is_given_up_on_time() -> None:
    async def play() -> None:
        made, timers = await connection()
        ask(made)
        await answer(made)
        timers.now = 6.0
        ask(made)

        timers.run_until(10.0)
        assert made.exception() is None
        timers.run_until(16.0)
        with pytest.raises(aiohttp.SocketTimeoutError):
            await made.read()

    asyncio.run(play())


@pytest.mark.parametrize("unasked", [WHOLE, WHOLE[:20], b"H"], ids=["whole", "part", "byte"])
def test_whatever_comes_unasked_spoils_a_connection(unasked: bytes) -> None:
    async def play() -> None:
        made, _ = await connection()
        ask(made)
        await answer(made)
        assert not made.should_close

        made.data_received(unasked)

        assert made.should_close

    asyncio.run(play())


def test_an_answer_that_comes_with_an_interim_one_leaves_the_connection_good() -> None:
    async def play() -> None:
        made, timers = await connection()
        ask(made)
        made.data_received(b"HTTP/1.1 103 Early Hints\r\n\r\n" + WHOLE)
        assert (await made.read())[0].code == 103
        made.await_more()

        message, content = await made.read()

        assert (message.code, await content.read()) == (200, b"hi")
        assert not made.should_close
        timers.run_until(10.0)
        assert not timers.waiting

    asyncio.run(play())


def test_a_lost_connection_leaves_no_timer_behind() -> None:
    async def play() -> None:
        made, timers = await connection()
        ask(made)

        made.connection_lost(None)

        assert not timers.waiting

    asyncio.run(play())


def test_an_answer_without_a_body_leaves_the_next_one_as_it_is() -> None:
    async def play() -> None:
        made, _ = await connection()
        made.ready(10.0, has_body=False)
        made.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\n")
        assert (await made.read())[1].is_eof()

        ask(made)

        assert await answer(made) == b"hi"

    asyncio.run(play())


def test_the_trailers_of_an_answer_are_no_headers_of_the_next() -> None:
    async def play() -> None:
        made, _ = await connection()
        ask(made)
        made.data_received(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"
        )
        await made.read()
        made.drop_parser()

        ask(made)
        made.data_received(WHOLE)

        message, _ = await made.read()
        assert message.raw_headers == ((b"Content-Length", b"2"),)

    asyncio.run(play())


def test_what_an_upstream_said_before_it_hung_up_on_a_body_is_read() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"

    async def play(listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with Connector(keepalive_seconds=1) as connector:
            transport, made = await loop.create_connection(
                connector._factory, *listener.getsockname()
            )
            made.ready(10.0)
            transport.write(b"x" * 20_000_000)
            theirs, _ = listener.accept()
            theirs.sendall(refusal)
            theirs.close()  # much is unread: it is a reset
            poller = select.poll()
            poller.register(transport.get_extra_info("socket").fileno(), 0)
            poller.poll()

            any_transport: Any = transport
            any_transport._write_ready()  # the loop wrote before it read

            message, content = await made.read()
            assert (message.code, await content.read()) == (413, b"big")
            assert made.should_close

    with socket.create_server(("127.0.0.1", 0)) as listener:
        asyncio.run(play(listener))
