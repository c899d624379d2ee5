"""Whatever is sent: through the proxy comes what comes from the upstream itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_lab import RawUpstream, Seen, call, chunked, request_bytes
from thoroughness import how_often

from batchata.gateway import Gateway

HOPS = {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"transfer-encoding"}
TAKEN = HOPS | {b"host", b"content-length", b"expect", b"content-encoding", b"proxy-connection"}
Header = tuple[bytes, bytes]

names = st.from_regex(rb"[A-Za-z][A-Za-z0-9_-]{0,15}", fullmatch=True).filter(
    lambda name: name.lower() not in TAKEN and not name.lower().startswith(b"proxy-")
)
values = st.from_regex(rb"([!-~\x80-\xff]([ -~\x80-\xff]{0,30}[!-~\x80-\xff])?)?", fullmatch=True)
methods = st.sampled_from([b"POST", b"PUT", b"DELETE", b"PROPFIND", b"FOO", b"post"])
headers = st.lists(st.tuples(names, values), max_size=8)
targets = st.from_regex(
    rb"/([A-Za-z0-9._~!$&'()*+,;=:@/\x80-\xff-]|%[0-9a-fA-F]{2}){0,30}"
    rb"(\?([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2}){0,30})?",
    fullmatch=True,
).filter(lambda target: target.partition(b"?")[0] not in (b"/health", b"/metrics"))
pieces = st.lists(st.binary(min_size=1, max_size=300), max_size=5)
kinds = st.sampled_from([b"application/json", b"text/event-stream", b"application/octet-stream"])


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[RawUpstream, Gateway]]:
    with RawUpstream() as upstream, Gateway(upstream.url) as gateway:
        yield upstream, gateway


def framed(status: int, kind: bytes, extra: list[Header], body: list[bytes], cuts: bool) -> bytes:
    head = [b"HTTP/1.1 %d Some Reason" % status, b"Content-Type: " + kind]
    head += [name + b": " + value for name, value in extra]
    if cuts:
        return b"\r\n".join([*head, b"Transfer-Encoding: chunked"]) + b"\r\n\r\n" + chunked(*body)
    whole = b"".join(body)
    return b"\r\n".join([*head, b"Content-Length: %d" % len(whole)]) + b"\r\n\r\n" + whole


@settings(max_examples=how_often(60), deadline=None, database=None)
@given(
    method=methods,
    target=targets,
    asked=headers,
    body=pieces,
    kind=kinds,
    status=st.sampled_from([200, 201, 400, 404, 429, 500, 529]),
    told=headers,
    answer=pieces,
    is_chunked=st.booleans(),
    sends_chunks=st.booleans(),
)
def test_the_proxy_changes_nothing(
    parts: tuple[RawUpstream, Gateway],
    method: bytes,
    target: bytes,
    asked: list[Header],
    body: list[bytes],
    kind: bytes,
    status: int,
    told: list[Header],
    answer: list[bytes],
    is_chunked: bool,
    sends_chunks: bool,
) -> None:
    upstream, gateway = parts
    data = framed(status, kind, told, answer, is_chunked)

    def script(connection: socket.socket, seen: Seen) -> None:
        for start in range(0, len(data), 97):
            connection.sendall(data[start : start + 97])

    upstream.script = script
    upstream.seen.clear()
    given_headers = [(b"Content-Type", kind), *asked]
    if sends_chunks and body:
        given_headers.append((b"Transfer-Encoding", b"chunked"))
    sent = chunked(*body) if sends_chunks and body else b"".join(body)
    request = request_bytes(target, *given_headers, method=method, body=sent)

    through = call(gateway.url, request)
    direct = call(upstream.url, request)

    assert plain(through.headers) == plain(direct.headers)
    assert (through.status, through.body) == (direct.status, direct.body)
    assert through.is_whole
    proxied, straight = upstream.seen
    assert proxied.line == straight.line
    assert proxied.body == straight.body
    assert plain(proxied.headers) == plain(straight.headers)


def plain(found: list[Header]) -> list[Header]:
    """Headers in order and as they are spelled, without those of the connection."""
    left_out = HOPS | {b"host", b"content-length"}
    return [(name, value) for name, value in found if name.lower() not in left_out]
