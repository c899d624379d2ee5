"""Connections that end early, ask for more than HTTP/1.1, or are no HTTP at all."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

import aiohttp
import orjson
import pytest
from raw_lab import (
    JSON,
    OK,
    SECONDS,
    SSE_HEAD,
    RawUpstream,
    Seen,
    call,
    connect,
    read_reply,
    request_bytes,
)

from batchata.gateway import Gateway
from batchata.gateway.proxy.config.loading import load_config
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http import connections, serving
from batchata.gateway.proxy.http.connections import Connection
from batchata.gateway.proxy.http.forward import what_failed
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome
from batchata.gateway.wire.vendors import Vendor

CHAT = b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"hi"}]}'
_MARK: ContextVar[str] = ContextVar("_MARK", default="")
POST = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=CHAT)


@pytest.fixture(scope="module", params=[serving.KNOWN, ()], ids=["known", "unknown aiohttp"])
def parts(request: pytest.FixtureRequest) -> Iterator[tuple[RawUpstream, Gateway]]:
    with pytest.MonkeyPatch.context() as patch, RawUpstream() as upstream:
        patch.setattr(serving, "KNOWN", request.param)
        with Gateway(upstream.url) as gateway:
            yield upstream, gateway


def half_closed(url: str, request: bytes) -> bytes:
    """All that comes for a client that sends no more, as `nc -N` does."""
    with connect(url) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(4096):
            found += piece
    return found.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")


@pytest.mark.parametrize(
    "request_",
    [request_bytes(b"/v1/models"), request_bytes(b"/health"), POST],
    ids=["get", "health", "post"],
)
def test_a_client_that_only_stopped_sending_is_answered(
    upstream: RawUpstream, url: str, request_: bytes
) -> None:
    assert half_closed(url, request_).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("count", [2, 5, 40])
def test_all_that_it_asked_in_a_row_is_answered(
    upstream: RawUpstream, url: str, count: int
) -> None:
    targets = [b"/v1/models/%d" % number for number in range(count)]
    before = len(upstream.seen)
    upstream.script = lambda connection, seen: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(seen.target), seen.target)
    )

    found = half_closed(url, b"".join(request_bytes(each) for each in targets))

    assert [each.target for each in upstream.seen[before:]] == targets
    assert found.count(b"HTTP/1.1 200 OK") == count
    assert [each.partition(b"HTTP")[0] for each in found.split(b"\r\n\r\n")[1:]] == targets


class Marking(Interceptor):
    """Keeps what it finds in a context variable before it leaves its own mark there."""

    def __init__(self) -> None:
        self.found: list[str] = []

    async def on_request(self, exchange: Exchange) -> Outcome:
        self.found.append(_MARK.get())
        _MARK.set(exchange.target)
        return CONTINUE

    async def on_response(self, exchange: Exchange) -> None:
        self.found.append(_MARK.get())


@pytest.mark.parametrize("known", [serving.KNOWN, ()], ids=["known", "unknown aiohttp"])
@pytest.mark.parametrize("is_pipelined", [False, True])
def test_a_request_sees_the_context_variables_of_no_other(
    monkeypatch: pytest.MonkeyPatch, known: tuple[str, ...], is_pipelined: bool
) -> None:
    monkeypatch.setattr(serving, "KNOWN", known)
    marking = Marking()
    requests = [request_bytes(b"/v1/a"), request_bytes(b"/v1/b"), request_bytes(b"/v1/c")]
    with (
        RawUpstream() as upstream,
        Gateway(upstream.url, interceptors=[marking]) as gateway,
        connect(gateway.url) as connection,
    ):
        reader = connection.makefile("rb")
        for request_ in [b"".join(requests)] if is_pipelined else requests:
            connection.sendall(request_)
            for _ in range(3 if is_pipelined else 1):
                assert read_reply(reader).status == 200

    assert marking.found == ["", "/v1/a", "", "/v1/b", "", "/v1/c"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_it_is_answered_late_too(upstream: RawUpstream, url: str, is_stream: bool) -> None:
    asked = threading.Event()

    def script(connection: socket.socket, seen: Seen) -> None:
        asked.wait(SECONDS)
        answer = SSE_HEAD + b"9\r\ndata: 1\n\n\r\n0\r\n\r\n" if is_stream else OK
        connection.sendall(answer)

    upstream.script = script
    with connect(url) as connection:
        connection.sendall(POST)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
        asked.set()

        reply = read_reply(connection.makefile("rb"))

    assert (reply.status, reply.is_whole) == (200, True)
    assert reply.body == (b"data: 1\n\n" if is_stream else b"{}")


def test_it_is_noticed_when_it_leaves_however_late(
    upstream: RawUpstream, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_ASKING", (0.001, 0.01))
    upstream.script = lambda connection, seen: upstream.hold(connection)

    with connect(url) as connection:
        connection.sendall(POST)
        connection.shutdown(socket.SHUT_WR)
        asked = b"HTTP/1.1 100 Continue\r\n\r\n" * 8
        assert connection.makefile("rb").read(len(asked)) == asked
        assert not upstream.freed.is_set()

    assert upstream.freed.wait(SECONDS)


def test_half_a_request_is_not_sent_on(upstream: RawUpstream, url: str) -> None:
    assert half_closed(url, POST[:-5]) == b""
    assert upstream.seen == []


def test_a_client_that_would_rather_speak_http2_is_answered_in_http1(
    upstream: RawUpstream, url: str
) -> None:
    wish = (
        (b"Connection", b"Upgrade, HTTP2-Settings"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAMAAABkAAQCAAAAAAIAAAAA"),
    )
    request = request_bytes(b"/v1/chat/completions", JSON, *wish, method=b"POST", body=CHAT)
    with connect(url) as connection:
        reader = connection.makefile("rb")
        for _ in range(2):
            connection.sendall(request)
            assert read_reply(reader).body == b"{}"

    assert [each.body for each in upstream.seen] == [CHAT, CHAT]
    assert not upstream.seen[0].all(b"upgrade") + upstream.seen[0].all(b"http2-settings")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"F@@ /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", "method"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTPS"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"sk-key" * 20_000 + b"\r\n\r\n", "65536"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: sk-key\r\n\r\n", "Content-Length"),
    ],
    ids=["method", "tls", "long", "length"],
)
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_what_is_no_http_is_refused_in_the_vendors_shape(
    vendor: Vendor, request_: bytes, said: str
) -> None:
    with Gateway("http://127.0.0.1:9", type=vendor) as gateway:
        reply = call(gateway.url, request_)

    body = orjson.loads(reply.body)
    assert reply.status == (431 if said == "65536" else 400)
    assert said in body["error"]["message"]
    assert "sk-key" not in body["error"]["message"]
    assert ("type" in body) is (vendor == "anthropic")


def test_many_headers_pass_both_ways(upstream: RawUpstream, url: str) -> None:
    headers = [(b"X-%d" % number, b"v") for number in range(200)]
    lines = b"".join(b"%b: %b\r\n" % each for each in headers)
    upstream.answer(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 2\r\n\r\n{}")

    for target in (b"/v1/chat/completions", b"/v1/x"):
        reply = call(url, request_bytes(target, JSON, *headers, method=b"POST", body=CHAT))

        assert (reply.status, reply.headers[:200]) == (200, headers)
        assert [each for each in upstream.seen[-1].headers if each[0][:2] == b"X-"] == headers


@pytest.mark.parametrize(
    "request_",
    [b"CONNECT api.openai.com:443", b"GET http://api.openai.com/"],
    ids=["tunnel", "address"],
)
def test_who_takes_it_for_a_forward_proxy_is_told_what_it_is(url: str, request_: bytes) -> None:
    reply = call(url, request_ + b" HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")

    assert reply.status == 400
    assert b"base URL" in reply.body
    assert reply.all(b"server") == []


def test_an_answer_that_breaks_off_is_one_line_in_the_log(
    upstream: RawUpstream, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def script(connection: socket.socket, seen: Seen) -> str:
        connection.sendall(SSE_HEAD + b"9\r\ndata: 1\n\n\r\n")
        return "close"

    upstream.script = script

    assert not call(url, POST).is_whole

    [record] = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert "broke off" in record.getMessage()
    assert record.exc_info is None


def test_what_was_asked_for_is_not_in_an_errors_text() -> None:
    error = aiohttp.ClientOSError(None, "Can not write request body for http://h:1/v1/x?key=secret")

    assert what_failed(error) == "[Errno None] Can not write request body for http://h:1"


def test_a_head_that_breaks_off_is_not_quoted(upstream: RawUpstream) -> None:
    def script(connection: socket.socket, seen: Seen) -> str:
        connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: id=secret\r\n")
        return "close"

    upstream.script = script
    with Gateway(upstream.url) as gateway:
        reply = call(gateway.url, POST)

    assert (reply.status, b"it hung up" in reply.body) == (502, True)
    assert b"secret" not in reply.body
    assert b"Set-Cookie" not in reply.body


def test_an_unused_connection_is_closed_here_before_the_upstream_does(
    upstream: RawUpstream,
) -> None:
    def script(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(OK)
        upstream.hold(connection)

    upstream.script = script
    with Gateway(upstream.url, keepalive_seconds=0.02) as gateway:
        assert call(gateway.url, POST).status == 200

        assert upstream.freed.wait(SECONDS)


@pytest.mark.parametrize(("address", "most"), [("http://127.0.0.1:8000", 5), ("https://a.b", 60)])
def test_a_local_servers_five_seconds_are_not_waited_for(address: str, most: float) -> None:
    config = load_config(given={"llm": {"base_url": address}}, environment={})

    assert most / 2 <= config.keepalive_seconds < most


def test_a_connection_that_ended_leaves_nothing_to_be_searched_for(
    upstream: RawUpstream, url: str
) -> None:
    def found() -> int:
        return sum(isinstance(each, Connection) for each in gc.get_objects())

    gc.collect()
    before = found()
    gc.disable()
    try:
        for _ in range(20):
            assert call(url, POST).status == 200
        end = time.monotonic() + SECONDS
        while found() > before + 1 and time.monotonic() < end:
            call(url, request_bytes(b"/health"))
        assert found() <= before + 1
    finally:
        gc.enable()


@pytest.mark.parametrize("rest", [b"", b"no chunk\r\n"], ids=["silent", "garbled"])
def test_a_request_that_does_not_come_to_its_end_is_not_waited_for_forever(
    upstream: RawUpstream, rest: bytes
) -> None:
    chunked = (b"Transfer-Encoding", b"chunked")
    begun = request_bytes(
        b"/v1/chat/completions", JSON, chunked, method=b"POST", body=b"2\r\n{}\r\n"
    )

    with Gateway(upstream.url, idle_seconds=0.05) as gateway, connect(gateway.url) as connection:
        connection.sendall(begun)
        assert call(gateway.url, request_bytes(b"/health")).status == 200  # the first has begun
        connection.sendall(rest)

        reply = read_reply(connection.makefile("rb"))

    assert (reply.status, b"request_timeout" in reply.body) == (408, True)
    assert upstream.seen == []


def test_the_end_of_a_gateway_waits_for_calls_in_flight_no_longer_than_it_is_told(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_their_end: list[bool] = []
    wait_again = aiohttp.web.RequestHandler.shutdown

    async def watched(connection: Connection, seconds: float | None) -> None:
        task = connection._task_handler
        at_their_end.append(task is None or task.done() or task.cancelling() > 0)
        await wait_again(connection, seconds)

    monkeypatch.setattr(aiohttp.web.RequestHandler, "shutdown", watched)
    upstream.script = lambda connection, seen: upstream.hold(connection)
    with (
        Gateway(upstream.url, shutdown_seconds=0) as gateway,
        connect(gateway.url) as connection,
    ):
        connection.sendall(POST)
        while not upstream.seen:
            call(gateway.url, request_bytes(b"/health"))

    assert at_their_end
    assert all(at_their_end)
    assert upstream.freed.wait(SECONDS)
