"""Headers that come again are not worked out again, and each request keeps its own length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchata.gateway.proxy.http.guard import Guard
from batchata.gateway.proxy.http.headers import decoded, to_upstream
from batchata.gateway.proxy.http.heads import Heads
from batchata.gateway.proxy.http.upstreams import Upstream

OURS = Upstream(name="a", base_url="http://127.0.0.1:1", type="openai", api_key="k1")
THEIRS = Upstream(name="b", base_url="http://127.0.0.1:2", type="anthropic")
HOST = (b"Host", b"localhost")
NAMES = [b"X-A", b"x-a", b"Connection", b"Authorization", b"TE", b"x-batchata-session-id"]
VALUES = [b"", b"1", b"close, x-a", b"content-length", b"\xff", b"Bearer k"]
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=5)
LENGTHS = st.sampled_from(
    [b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"cOntent-Length"]
)


def heads(token: str | None = None) -> Heads:
    return Heads(Guard(token=token, allowed_hosts=frozenset(), is_loopback=True))


@given(
    PAIRS, LENGTHS, PAIRS, st.lists(st.sampled_from([b"7", b"12", b"7"]), min_size=2, max_size=4)
)
def test_an_upstream_is_told_what_each_request_says(
    before: list[tuple[bytes, bytes]],
    name: bytes,
    after: list[tuple[bytes, bytes]],
    lengths: list[bytes],
) -> None:
    known = heads()

    for length in lengths:
        raw = (HOST, *before, (name, length), *after)
        for upstream in (OURS, THEIRS):
            headers, _ = known.of(raw).onward(upstream, "POST", length.decode())
            assert headers == upstream.with_key(to_upstream(decoded(raw)))


def test_the_same_headers_are_worked_out_once_whatever_the_length() -> None:
    known = heads()

    first = known.of((HOST, (b"X-A", b"1"), (b"Content-Length", b"7")))

    assert known.of((HOST, (b"X-A", b"1"), (b"Content-Length", b"12"))) is first
    assert known.of((HOST, (b"Content-Length", b"7"), (b"X-A", b"1"))) is not first


def test_those_who_may_not_come_in_and_large_headers_are_not_remembered() -> None:
    known = heads(token="t")
    refused = (HOST, (b"Authorization", b"Bearer u"))
    large = (HOST, (b"Authorization", b"Bearer t"), (b"X-A", b"a" * 9000))

    assert known.of(refused).refusal is not None
    assert known.of(refused) is not known.of(refused)
    assert known.of(large).refusal is None
    assert known.of(large) is not known.of(large)


def test_of_ever_new_headers_the_oldest_are_forgotten() -> None:
    known = heads()
    first = known.of((HOST, (b"X-A", b"first")))

    for number in range(256):
        known.of((HOST, (b"X-A", b"%d" % number)))

    assert known.of((HOST, (b"X-A", b"first"))) is not first
