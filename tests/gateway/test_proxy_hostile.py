"""Requests and answers that are not as they should be."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from raw_lab import JSON, OK, RawUpstream, Reply, Seen, call, chunked, request_bytes

from batchata.gateway import Gateway

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"{}")


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as found:
        yield found


@pytest.fixture
def url(upstream: RawUpstream) -> Iterator[str]:
    with Gateway(upstream.url) as gateway:
        yield gateway.url


def post(url: str, target: bytes) -> Reply:
    return call(url, request_bytes(target, JSON, method=b"POST", body=b'{"model":"m"}'))


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/things"])
def test_what_an_upstream_says_unasked_answers_nobody(
    upstream: RawUpstream, url: str, target: bytes
) -> None:
    kept: list[socket.socket] = []

    def answer_first(connection: socket.socket, seen: Seen) -> None:
        kept.append(connection)
        connection.sendall(OK)

    upstream.script = answer_first
    assert post(url, target).body == b"{}"
    kept[-1].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    call(url, request_bytes(b"/health"))  # by now the gateway has read it

    assert post(url, target).body == b"{}"
    assert kept[0] is not kept[-1]


@pytest.mark.parametrize("more", [b"H", b"HTTP/1.1 200 OK\r\nX-Evil: "], ids=["byte", "part"])
@pytest.mark.parametrize("framed", [OK, CHUNKED], ids=["length", "chunks"])
def test_a_part_of_an_answer_right_behind_another_begins_no_answer(
    upstream: RawUpstream, url: str, framed: bytes, more: bytes
) -> None:
    upstream.script = lambda connection, seen: connection.sendall(framed + more)

    for _ in range(3):
        reply = post(url, b"/v1/things")

        assert (reply.status, reply.body, reply.all(b"x-evil")) == (200, b"{}", [])
    assert upstream.connections == 3


def test_an_empty_line_behind_an_answer_is_nothing(upstream: RawUpstream, url: str) -> None:
    upstream.script = lambda connection, seen: connection.sendall(OK + b"\r\n")

    assert [post(url, b"/v1/things").body for _ in range(3)] == [b"{}"] * 3
    assert upstream.connections == 1


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/things"])
def test_an_upstream_that_changes_the_protocol_unasked_is_a_502(
    upstream: RawUpstream, url: str, target: bytes
) -> None:
    upstream.answer(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nzz")

    reply = post(url, target)

    assert reply.status == 502
    assert b"status 101" in reply.body


@pytest.mark.parametrize("target", [b"/v1/chat/completions", b"/v1/things"])
def test_an_answer_in_a_transfer_encoding_that_nobody_asked_for_is_a_502(
    upstream: RawUpstream, url: str, target: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    upstream.answer(head + b"2\r\n{}\r\n0\r\n\r\n")

    reply = post(url, target)

    assert (reply.status, b"transfer encoding" in reply.body) == (502, True)


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (request_bytes(b"/v1/models#x"), 400),
        (request_bytes(b"/v1/things", (b"Transfer-Encoding", b"gzip, chunked")), 501),
    ],
    ids=["fragment", "coding"],
)
def test_what_would_not_arrive_as_it_was_sent_is_refused(
    upstream: RawUpstream, url: str, request_text: bytes, status: int
) -> None:
    assert call(url, request_text).status == status
    assert not upstream.seen
