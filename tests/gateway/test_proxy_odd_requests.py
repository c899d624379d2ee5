"""Requests that few clients make, and bodies that do not come to their end."""

from __future__ import annotations

import socket
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from raw_lab import JSON, RawUpstream, Seen, call, chunked, connect, read_reply, request_bytes

from batchata.gateway import Gateway

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
CHUNKED = (b"Transfer-Encoding", b"chunked")
QUESTION = b"/v1/chat/completions"
LARGE = b'{"model": "m", "input": "%b"}' % (b"x" * 2_000_000)


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[RawUpstream, Gateway]]:
    with RawUpstream() as upstream, Gateway(upstream.url) as gateway:
        yield upstream, gateway


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a server that answers after a few bytes of a request, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:  # what is unread at its end makes it a reset
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@pytest.mark.parametrize(
    ("target", "kind"),
    [(QUESTION, JSON), (b"/v1/things", JSON), (b"/v1/files", (b"Content-Type", b"text/plain"))],
    ids=["question", "json", "file"],
)
def test_a_refusal_in_the_middle_of_a_large_body_reaches_the_client(
    refusing: str, target: bytes, kind: tuple[bytes, bytes]
) -> None:
    with Gateway(refusing) as gateway:
        reply = call(gateway.url, request_bytes(target, kind, method=b"POST", body=LARGE))

    assert (reply.status, reply.body) == (413, b"big")


def test_a_file_whose_client_stops_sending_is_a_408(upstream: RawUpstream) -> None:
    with Gateway(upstream.url, idle_seconds=0.05) as gateway, connect(gateway.url) as connection:
        begun = request_bytes(b"/v1/files", (b"Content-Length", b"9"), method=b"POST") + b"ab"
        connection.sendall(begun)

        reply = read_reply(connection.makefile("rb"))

    assert (reply.status, b"request_timeout" in reply.body) == (408, True)


@pytest.mark.parametrize("target", [QUESTION, b"/v1/files"], ids=["question", "file"])
def test_an_upstream_that_takes_no_more_of_a_body_is_a_504(target: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        # longer than a busy machine takes to send the next piece
        with Gateway(address, idle_seconds=1.5) as gateway:
            body = LARGE * 8
            reply = call(gateway.url, request_bytes(target, JSON, method=b"POST", body=body))

    assert reply.status == 504
    assert b"takes no more" in reply.body


def test_the_trailers_of_a_request_are_no_headers_of_the_next(
    upstream: RawUpstream, url: str
) -> None:
    body = chunked(b"ab").removesuffix(b"\r\n") + b"X-Api-Key: stolen\r\n\r\n"
    first = request_bytes(b"/v1/things", CHUNKED, method=b"POST", body=body)

    with connect(url) as connection:
        connection.sendall(first + request_bytes(b"/v1/next"))
        reader = connection.makefile("rb")
        replies = [read_reply(reader)]
        assert replies[0].all(b"connection") == [b"close"]
        assert reader.read() == b""

    assert [each.body for each in upstream.seen] == [b"ab"]


def test_a_header_list_of_any_bytes_passes_on_every_way(upstream: RawUpstream, url: str) -> None:
    odd = [(b"X-a", b"caf\xe9"), (b"x-A", b"\xff")]
    lines = b"".join(b"%b: %b\r\n" % each for each in odd)
    upstream.answer(b"HTTP/1.1 200 OK\r\n" + lines + b"Transfer-Encoding: chunked\r\n\r\n")

    def script(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + lines + b"Transfer-Encoding: chunked\r\n\r\n")
        for piece in (b"2\r\nab\r\n", b"0\r\n\r\n"):
            connection.sendall(piece)

    upstream.script = script
    for request in (
        request_bytes(b"/v1/things", *odd),
        request_bytes(b"/v1/files", CHUNKED, *odd, method=b"POST", body=chunked(b"ab")),
        request_bytes(QUESTION, JSON, *odd, method=b"POST", body=LARGE),
    ):
        reply = call(url, request)

        assert [each for each in upstream.seen[-1].headers if each in odd] == odd
        assert [each for each in reply.headers if each in odd] == odd


def test_a_body_that_looks_like_an_odd_request_is_a_body(upstream: RawUpstream, url: str) -> None:
    looks = b"MADE-UP /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = request_bytes(
        b"/v1/things", (b"Content-Length", b"%d" % len(looks)), (b"Expect", b"100-continue"),
        method=b"POST",
    )  # fmt: skip
    with connect(url) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(looks)
        assert read_reply(connection.makefile("rb")).status == 200

    assert [each.body for each in upstream.seen] == [looks]


def test_a_made_up_method_is_read_on_a_connection_that_was_used(
    upstream: RawUpstream, url: str
) -> None:
    with connect(url) as connection:
        reader = connection.makefile("rb")
        for method in (b"GET", b"MADE-UP"):
            connection.sendall(request_bytes(method=method, body=b"ab"))
            assert read_reply(reader).body == b"{}"

    assert [each.line.split(b" ")[0] for each in upstream.seen] == [b"GET", b"MADE-UP"]
    assert [each.body for each in upstream.seen] == [b"ab", b"ab"]


@pytest.mark.parametrize(
    "wrong",
    [
        b"MADE-UP /v1/x HTTP/1.1\r\n\r\n",
        b"MADE-UP /v1/x HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
        b"MADE-UP /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"MADE UP /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["no host", "two hosts", "two lengths", "space"],
)
def test_an_odd_request_is_not_read_less_strictly(
    upstream: RawUpstream, url: str, wrong: bytes
) -> None:
    reply = call(url, wrong)

    assert (reply.status, upstream.seen) == (400, [])
    assert orjson.loads(reply.body)["error"]["code"] == "unreadable_request"


def test_a_header_that_is_too_long_is_named_as_that(upstream: RawUpstream, url: str) -> None:
    reply = call(url, request_bytes(b"/v1/x", (b"X-Long", b"a" * 70_000)))

    assert (reply.status, upstream.seen) == (431, [])
    assert b"longer than 65536 bytes" in reply.body


def test_an_upstream_that_is_not_there_is_told_in_plain_words() -> None:
    with Gateway("http://127.0.0.1:1") as gateway:
        reply = call(gateway.url, request_bytes(b"/v1/models"))

    assert reply.status == 502
    assert b"cannot be reached: Connection refused" in reply.body


def test_no_more_than_the_beginning_is_looked_at_for_a_method(
    upstream: RawUpstream, url: str
) -> None:
    found = [call(url, request_bytes(method=b"M" * size)).status for size in (64, 65)]

    assert found == [200, 400]


def test_what_an_upstream_can_do_as_a_whole_may_be_asked(upstream: RawUpstream, url: str) -> None:
    assert call(url, request_bytes(b"*", method=b"OPTIONS")).status == 200
    assert upstream.seen[0].line == b"OPTIONS * HTTP/1.1"


def test_a_client_of_http_1_0_needs_no_host_and_is_told_no_100(
    upstream: RawUpstream, url: str
) -> None:
    old = b"POST /v1/x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab"
    with connect(url) as connection:
        connection.sendall(old)
        said = connection.makefile("rb").read()

    assert said.startswith(b"HTTP/1.0 200 OK")
    assert upstream.seen[0].body == b"ab"


@pytest.mark.parametrize("length", [b"", b"Content-Length: 9\r\n"], ids=["unknown", "known"])
def test_a_client_of_http_1_0_that_keeps_its_connection_sees_where_a_stream_ends(
    upstream: RawUpstream, url: str, length: bytes
) -> None:
    framed = length or b"Transfer-Encoding: chunked\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framed + b"\r\n"
    upstream.answer(head + (b"data: a\n\n" if length else chunked(b"data: a\n\n")))

    with connect(url) as connection:
        connection.sendall(b"GET /v1/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = read_reply(connection.makefile("rb"))

    assert (reply.body, reply.is_whole) == (b"data: a\n\n", True)
    assert reply.all(b"connection") == ([b"keep-alive"] if length else [])


def test_a_refusal_that_quotes_bytes_that_are_no_utf8_is_a_refusal(upstream: RawUpstream) -> None:
    with Gateway(config={"upstreams": [{"base_url": upstream.url, "prefix": "/a"}]}) as gateway:
        unserved = call(gateway.url, request_bytes(b"/v1/\xff"))
        foreign = call(
            gateway.url, request_bytes(b"/a/v1/x", (b"Origin", b"http://\xff"), method=b"POST")
        )

    assert (unserved.status, b"serves /v1/?" in unserved.body) == (404, True)
    assert (foreign.status, b"pages of http://?" in foreign.body) == (403, True)


def test_no_aiohttp_is_installed_that_cannot_read_odd_requests() -> None:
    needed = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]

    oldest = next(each for each in needed if each.startswith("aiohttp")).rpartition("=")[2]

    # 3.14.0 does not bound what it reads ahead of requests in a row, as the gateway asks it to
    assert tuple(map(int, oldest.split("."))) >= (3, 14, 1)
