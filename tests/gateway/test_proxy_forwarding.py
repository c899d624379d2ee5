"""What goes in comes out: the proxy between a raw client and an upstream made of sockets."""

from __future__ import annotations

import gzip
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from raw_lab import (
    JSON,
    OK,
    SECONDS,
    SSE_HEAD,
    RawUpstream,
    Reply,
    Seen,
    call,
    chunked,
    connect,
    read_reply,
    request_bytes,
)

from batchata.gateway import Exchange, Gateway, Interceptor, Outcome, Replace

ALL_METHODS = [b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"MADE-UP", b"get"]
CHAT = b'{"model":"gpt-6-luna","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[RawUpstream, Gateway]]:
    with RawUpstream() as upstream, Gateway(upstream.url) as gateway:
        yield upstream, gateway


def post(url: str, target: bytes = b"/v1/chat/completions", body: bytes = CHAT) -> Reply:
    return call(url, request_bytes(target, JSON, method=b"POST", body=body))


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/models/meta%2Fllama%3Fx=1",
        b"/v1/models?",
        b"//v1//models?a=%2f&&b=+c&a=1",
        b"/a/../b/./c;x=1?~!$'()*,;:@",
        b"/health/deep",
        b"/v1/caf\xc3\xa9?\xff",
    ],
)
def test_a_target_arrives_byte_for_byte(upstream: RawUpstream, url: str, target: bytes) -> None:
    call(url, request_bytes(target))

    assert upstream.seen[0].target == target


def test_headers_keep_their_order_their_spelling_and_their_repetitions(
    upstream: RawUpstream, url: str
) -> None:
    upstream.answer(
        b"HTTP/1.1 200 Fine\r\nset-COOKIE: a=1, b\r\nX-B: 2\r\nSet-Cookie: c=3\r\nx-b: 1\r\n"
        b"Date: yesterday\r\nServer: raw\r\nContent-Length: 0\r\n\r\n"
    )

    reply = call(url, request_bytes(b"/", (b"X-a", b"1"), (b"x-A", b"2"), (b"Accept", b"*/*")))

    sent = [each for each in upstream.seen[0].headers if each[0].lower() != b"host"]
    assert sent == [(b"X-a", b"1"), (b"x-A", b"2"), (b"Accept", b"*/*")]
    assert reply.headers == [
        (b"set-COOKIE", b"a=1, b"),
        (b"X-B", b"2"),
        (b"Set-Cookie", b"c=3"),
        (b"x-b", b"1"),
        (b"Date", b"yesterday"),
        (b"Server", b"raw"),
        (b"Content-Length", b"0"),
    ]


def test_the_headers_of_a_question_arrive_byte_for_byte_and_so_do_those_of_its_answer(
    upstream: RawUpstream, url: str
) -> None:
    upstream.answer(OK.replace(b"\r\n\r\n", b"\r\nX-Name: caf\xe9\r\nx-name: \xff\r\n\r\n"))
    odd = ((b"X-a", b"caf\xe9"), (b"x-A", b"\xff"), JSON)

    reply = call(url, request_bytes(b"/v1/chat/completions", *odd, method=b"POST", body=CHAT))

    assert [each for each in upstream.seen[0].headers if each in odd] == list(odd)
    assert reply.headers[-2:] == [(b"X-Name", b"caf\xe9"), (b"x-name", b"\xff")]


@pytest.mark.parametrize("name", ["X-Mine", "X-Mine: 1\r\nX-Other"])
@pytest.mark.parametrize("value", ["1\r\nX-Other: 2", "1\nX-Other: 2", "1\0"])
def test_a_header_that_would_be_two_is_not_sent(
    upstream: RawUpstream, name: str, value: str
) -> None:
    class Adding(Interceptor):
        name = "adding"
        is_policy = True

        async def on_request(self, exchange: Exchange) -> Outcome:
            return Replace(headers=(*exchange.headers, (name, value)))

    with Gateway(upstream.url, interceptors=[Adding()]) as gateway:
        reply = post(gateway.url)

    assert (reply.status, upstream.seen) == (500, [])


def test_nothing_is_added_to_a_bare_response(upstream: RawUpstream, url: str) -> None:
    upstream.answer(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert call(url, request_bytes()).headers == []


def test_what_belongs_to_one_connection_stays_there(upstream: RawUpstream, url: str) -> None:
    upstream.answer(
        b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
    )
    hops = (
        (b"Connection", b"keep-alive, X-Mine"),
        (b"X-Mine", b"1"),
        (b"TE", b"trailers"),
        (b"Proxy-Authorization", b"Basic x"),
        (b"x-batchata-session-id", b"s"),
        (b"X-Cylestio-Tags", b"a:b"),
        (b"X-Kept", b"1"),
    )

    reply = call(url, request_bytes(b"/", *hops))

    assert [name for name, _ in upstream.seen[0].headers] == [b"Host", b"X-Kept"]
    assert reply.headers == [(b"Content-Length", b"0")]


def test_a_redirect_is_handed_to_the_client_and_the_key_goes_nowhere(
    upstream: RawUpstream, url: str
) -> None:
    with RawUpstream() as elsewhere:
        place = elsewhere.url.encode()
        upstream.answer(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %s/x\r\nContent-Length: 0\r\n\r\n"
            % place
        )

        reply = call(
            url, request_bytes(b"/", JSON, (b"x-api-key", b"k"), method=b"POST", body=CHAT)
        )

        assert (reply.status, reply.all(b"location")) == (307, [place + b"/x"])
        assert elsewhere.connections == 0


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/json"])
def test_a_refused_stream_is_refused_with_status_and_headers(
    upstream: RawUpstream, url: str, kind: bytes
) -> None:
    body = b'{"error":{"message":"slow down"}}'
    upstream.answer(
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: %s\r\nretry-after: 7\r\n"
        b"x-request-id: req_1\r\nx-ratelimit-remaining-requests: 0\r\nContent-Length: %d\r\n\r\n%s"
        % (kind, len(body), body)
    )

    reply = post(url, body=CHAT[:-1] + b',"stream":true}')

    assert (reply.status, reply.body) == (429, body)
    assert reply.all(b"retry-after") == [b"7"]
    assert reply.all(b"x-request-id") == [b"req_1"]
    assert reply.all(b"x-ratelimit-remaining-requests") == [b"0"]


def test_each_event_goes_on_before_the_next_one_comes(upstream: RawUpstream, url: str) -> None:
    goes_on = threading.Event()

    def script(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(SSE_HEAD + b"9\r\ndata: 1\n\n\r\n")
        assert goes_on.wait(SECONDS)
        connection.sendall(chunked(b"data: 2\n\n"))

    upstream.script = script
    with connect(url) as connection:
        connection.sendall(request_bytes(b"/v1/x", JSON, method=b"POST", body=CHAT))
        got = b""
        while b"data: 1\n\n" not in got:
            got += connection.recv(65536)
        goes_on.set()
        while not got.endswith(b"0\r\n\r\n"):
            got += connection.recv(65536)

    assert got.endswith(b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n")


def test_encoded_bodies_are_not_touched_either_way(upstream: RawUpstream, url: str) -> None:
    packed, odd = gzip.compress(CHAT), b"\x1b\x00not really brotli"
    upstream.answer(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: br\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(odd), odd)
    )

    request = request_bytes(
        b"/v1/chat/completions", JSON, (b"Content-Encoding", b"gzip"), method=b"POST", body=packed
    )
    reply = call(url, request)

    assert upstream.seen[0].body == packed
    assert upstream.seen[0].all(b"content-encoding") == [b"gzip"]
    assert (reply.body, reply.all(b"content-encoding")) == (odd, [b"br"])


def test_a_body_that_is_not_read_is_passed_on_in_pieces(upstream: RawUpstream, url: str) -> None:
    body = bytes(range(256)) * 4000
    head = (b"Content-Type", b"multipart/form-data; boundary=x")

    call(url, request_bytes(b"/v1/files", head, method=b"POST", body=body))

    assert upstream.seen[0].body == body
    assert upstream.seen[0].all(b"content-length") == [str(len(body)).encode()]


def test_a_chunked_request_arrives_whole(upstream: RawUpstream, url: str) -> None:
    parts = (b"Transfer-Encoding", b"chunked")
    for kind in (b"application/json", b"application/octet-stream"):
        body = chunked(CHAT[:10], CHAT[10:])
        request = request_bytes(b"/v1/x", parts, (b"Content-Type", kind), method=b"POST", body=body)

        call(url, request)

    assert [each.body for each in upstream.seen] == [CHAT, CHAT]


def test_a_client_that_waits_for_100_is_told_to_go_on(upstream: RawUpstream, url: str) -> None:
    with connect(url) as connection:
        head = request_bytes(
            b"/v1/x", JSON, (b"Expect", b"100-continue"), method=b"POST", body=CHAT
        )
        connection.sendall(head.removesuffix(CHAT))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(CHAT)

        assert read_reply(connection.makefile("rb")).status == 200

    assert upstream.seen[0].body == CHAT


@pytest.mark.parametrize("method", ALL_METHODS)
def test_all_methods_pass(upstream: RawUpstream, url: str, method: bytes) -> None:
    assert call(url, request_bytes(method=method)).body == b"{}"
    assert upstream.seen[0].line.startswith(method + b" ")
    assert [name for name, _ in upstream.seen[0].headers] == [b"Host"]


def test_head_says_how_long_a_body_would_be(upstream: RawUpstream, url: str) -> None:
    upstream.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\n")

    assert call(url, request_bytes(method=b"HEAD")).headers == [(b"Content-Length", b"512")]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_client_that_leaves_frees_the_upstream_at_once(
    upstream: RawUpstream, url: str, is_stream: bool
) -> None:
    reached = threading.Event()

    def script(connection: socket.socket, seen: Seen) -> None:
        if is_stream:
            connection.sendall(SSE_HEAD + b"9\r\ndata: 1\n\n\r\n")
        reached.set()
        upstream.hold(connection)

    upstream.script = script
    with connect(url) as connection:
        connection.sendall(request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=CHAT))
        assert reached.wait(SECONDS)
        if is_stream:
            assert connection.recv(10)

    assert upstream.freed.wait(SECONDS)


def test_an_answer_that_breaks_off_is_not_made_to_look_whole(
    upstream: RawUpstream, url: str
) -> None:
    def script(connection: socket.socket, seen: Seen) -> str:
        connection.sendall(SSE_HEAD + b"9\r\ndata: 1\n\n\r\n")
        return "close"

    upstream.script = script

    reply = post(url)

    assert (reply.status, reply.is_whole) == (200, False)


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/v1/messages", ("type",)), (b"/v1/chat/completions", ("error",))],
)
def test_an_upstream_that_hangs_up_is_a_502_in_the_vendors_shape(
    upstream: RawUpstream, url: str, target: bytes, path: tuple[str]
) -> None:
    upstream.script = lambda connection, seen: "close"

    reply = post(url, target)

    body = orjson.loads(reply.body)
    assert reply.status == 502
    assert path[0] in body
    assert "broke off" in body["error"]["message"]


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"], ids=["no", "one"])
def test_an_upstream_that_says_nothing_is_a_504(upstream: RawUpstream, interim: bytes) -> None:
    def say_no_more(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(interim)
        upstream.hold(connection)

    upstream.script = say_no_more

    with Gateway(upstream.url, idle_seconds=0.05) as gateway:
        reply = post(gateway.url)

    assert reply.status == 504
    assert orjson.loads(reply.body)["error"]["type"] == "server_error"


def test_an_upstream_that_is_not_there_is_a_502_that_names_it() -> None:
    place = "http://127.0.0.1:9"
    with Gateway(place) as gateway:
        reply = post(gateway.url)

    assert reply.status == 502
    assert place in orjson.loads(reply.body)["error"]["message"]


def test_websockets_and_foreign_addresses_are_refused_clearly(
    upstream: RawUpstream, url: str
) -> None:
    upgrade = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))

    refused = call(url, request_bytes(b"/v1/realtime", *upgrade))
    foreign = call(url, request_bytes(b"http://example.com/v1/models"))

    assert (refused.status, b"WebSockets" in refused.body) == (501, True)
    assert (foreign.status, b"not a forward proxy" in foreign.body) == (400, True)
    assert upstream.seen == []


def test_connections_to_the_upstream_are_kept(upstream: RawUpstream, url: str) -> None:
    post(url)
    before = upstream.connections
    for _ in range(5):
        post(url)

    assert upstream.connections == before


def test_with_another_aiohttp_questions_go_its_public_way(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aiohttp, "__version__", "4.0.0")

    with Gateway(upstream.url) as gateway:
        reply = post(gateway.url)

    assert (reply.status, upstream.seen[0].body) == (200, CHAT)


def test_curl_sends_a_large_body_through(upstream: RawUpstream, url: str, tmp_path: Path) -> None:
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 2_000_000}]})
    (tmp_path / "body").write_bytes(body)
    address = f"{url}/v1/chat/completions"

    done = subprocess.run(
        ["curl", "-sS", "--json", f"@{tmp_path / 'body'}", address],
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == b"{}"
    assert upstream.seen[0].body == body


def test_health_and_metrics_tell_how_it_is(upstream: RawUpstream, url: str) -> None:
    post(url)

    assert orjson.loads(call(url, request_bytes(b"/health")).body)["status"] == "ok"
    text = call(url, request_bytes(b"/metrics")).body.decode()
    assert 'batchata_gateway_requests_total{upstream="127.0.0.1",status="200"' in text
