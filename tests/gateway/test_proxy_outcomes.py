"""What interceptors may answer and change, and what of it is a matter of the connection."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
from raw_lab import JSON, RawUpstream, call, connect, read_reply, request_bytes

from batchata.core.errors import ValidationError
from batchata.gateway import Exchange, Gateway, Interceptor, Outcome, Reject, Replace, Respond

STREAM = ((0.0, b"data: a\n\n"), (0.0, b"data: b\n\n"))
BODY = b'{"model": "m"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


class Policy(Interceptor):
    """Does to each request what a test has said."""

    name = "policy"
    is_policy = True
    outcome: Outcome

    async def on_request(self, exchange: Exchange) -> Outcome:
        return self.outcome


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy()


@pytest.fixture(scope="module")
def parts(policy: Policy) -> Iterator[tuple[RawUpstream, Gateway]]:
    with RawUpstream() as upstream, Gateway(upstream.url, interceptors=[policy]) as gateway:
        yield upstream, gateway


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)], ids=str
)
def test_an_answer_that_has_no_body_is_given_none_by_a_recorded_stream(
    policy: Policy, url: str, method: bytes, status: int
) -> None:
    policy.outcome = Respond(status=status, pieces=STREAM)

    with connect(url) as connection:
        reader = connection.makefile("rb")
        for _ in range(2):  # what is no part of an answer would be the beginning of the next one
            connection.sendall(request_bytes(method=method))
            assert read_reply(reader, has_body=method != b"HEAD").status == status


def test_a_stream_ends_for_a_client_of_http_1_0_that_keeps_its_connection(
    policy: Policy, url: str
) -> None:
    policy.outcome = Respond(pieces=STREAM)

    with connect(url) as connection:
        connection.sendall(b"GET /v1/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        said = connection.makefile("rb").read()

    assert said.endswith(b"\r\n\r\ndata: a\n\ndata: b\n\n")
    assert b"keep-alive" not in said


def test_a_refusals_headers_do_not_say_how_long_it_is(policy: Policy, url: str) -> None:
    policy.outcome = Reject(
        message="no",
        headers=(
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "text/plain"),
            ("X-Why", "budget"),
        ),
    )

    reply = call(url, request_bytes())

    assert (reply.all(b"transfer-encoding"), reply.all(b"x-why")) == ([], [b"budget"])
    assert reply.all(b"content-type") == [b"application/json"]
    assert reply.body.startswith(b'{"error"')
    assert reply.body.endswith(b"}}")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_new_headers_do_not_say_where_a_request_goes_and_how_long_it_is(
    policy: Policy, upstream: RawUpstream, url: str, is_chunked: bool
) -> None:
    policy.outcome = Replace(
        headers=(
            ("Content-Length", "3"),
            ("Transfer-Encoding", "gzip"),
            ("Connection", "close"),
            ("Host", "elsewhere"),
            ("X-New", "1"),
        )
    )
    framing = ((b"Transfer-Encoding", b"chunked"),) if is_chunked else ()

    for _ in range(2):  # a rest of the first would be taken for the second
        body = CHUNKED if is_chunked else BODY
        asked = request_bytes(b"/v1/responses", JSON, *framing, method=b"POST", body=body)
        assert call(url, asked).status == 200

    assert [each.body for each in upstream.seen] == [BODY, BODY]
    for seen in upstream.seen:
        assert seen.all(b"host") == [upstream.url.removeprefix("http://").encode()]
        assert seen.all(b"content-length") == [str(len(BODY)).encode()]
        assert seen.all(b"transfer-encoding") + seen.all(b"connection") == []
        assert seen.all(b"x-new") == [b"1"]


def test_a_body_that_is_given_back_unpacked_is_sent_unpacked(
    upstream: RawUpstream,
) -> None:
    class GiveBack(Policy):
        async def on_request(self, exchange: Exchange) -> Outcome:
            return Replace(body=exchange.body)

    packed = (b"Content-Encoding", b"gzip")
    asked = request_bytes(b"/v1/responses", JSON, packed, method=b"POST", body=gzip.compress(BODY))
    with Gateway(upstream.url, interceptors=[GiveBack()]) as gateway:
        assert [call(gateway.url, asked).status for _ in range(2)] == [200, 200]

    assert [each.body for each in upstream.seen] == [BODY, BODY]
    assert [each.all(b"content-encoding") for each in upstream.seen] == [[], []]


@pytest.mark.parametrize("name", ["X A", "X:A", "", "X\r\nA", "Ü"])
def test_a_header_has_a_name_that_it_can_have(name: str) -> None:
    with pytest.raises(ValidationError, match="headers are pairs of a name and a one-line text"):
        Respond(headers=((name, "b"),))


def test_a_refusal_says_why_in_words(policy: Policy, url: str) -> None:
    with pytest.raises(ValidationError, match="a message is text, not int"):
        Reject(message=5)  # type: ignore[arg-type]
    policy.outcome = Reject(message=b"no \xff".decode("utf-8", "surrogateescape"))

    assert b'"message":"no ?"' in call(url, request_bytes()).body
