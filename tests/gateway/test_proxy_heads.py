"""Headers that come again are not worked out again, and each request keeps its own length."""

from __future__ import annotations

from unittest.mock import Mock

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batchata.gateway.proxy.http import headers as header_lists
from batchata.gateway.proxy.http.forward import head_of
from batchata.gateway.proxy.http.guard import Guard
from batchata.gateway.proxy.http.headers import (
    Names,
    Written,
    decoded,
    end_to_end,
    names_of,
    to_upstream,
)
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
            written, _ = known.of(raw).onward(upstream, "POST", length.decode())
            assert written == Written.of(upstream.with_key(to_upstream(decoded(raw))))


def test_the_same_headers_are_worked_out_once_whatever_the_length() -> None:
    known = heads()

    first = known.of((HOST, (b"X-A", b"1"), (b"Content-Length", b"7")))

    assert known.of((HOST, (b"X-A", b"1"), (b"Content-Length", b"12"))) is first
    assert known.of((HOST, (b"Content-Length", b"7"), (b"X-A", b"1"))) is not first


def test_headers_that_differ_in_more_than_the_length_are_not_taken_for_each_other() -> None:
    known = heads()
    length = (b"Content-Length", b"7")
    pair, other = (b"X-A", b"1"), (b"X-A", b"2")
    different = [
        (HOST, pair, length),
        (HOST, other, length),
        (HOST, pair, (b"content-length", b"7")),
        (HOST, pair, length, other),
        (HOST, pair, other),
        (HOST, pair),
        (HOST,),
        (HOST, length, pair),
    ]

    found = [known.of(raw) for raw in different]

    assert len({*map(id, found)}) == len(different)
    for raw, head in zip(different, found, strict=True):
        assert known.of(raw) is head
        assert known.of(raw) is head


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


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((), "task-3f2a9c1e-55aa-4b1c-9d2e-000000000001"),
        ((), "sk-proj-abcdefghijklmnop0123"),
        (((b"Authorization", b"Bearer my-own-key"),), "my-own-key"),
        (((b"x-api-key", b"my-own-key"),), "my-own-key"),
    ],
)
def test_a_key_that_is_given_as_an_id_is_replaced_by_what_stands_for_it(
    headers: tuple[tuple[bytes, bytes], ...], told: str
) -> None:
    ids = tuple(
        (f"x-batchata-{name}".encode(), told.encode()) for name in ("session-id", "agent-id")
    )
    raw = (HOST, *headers, *ids, (b"x-batchata-tags", f"a:{told},{told}:b".encode()))

    head = heads().of(raw)

    said = {head.session_id, head.agent_id, head.tags["a"], *(set(head.tags) - {"a"})}
    if told.startswith("task"):
        assert said == {told}
    else:
        assert len(said) == 1
        assert said.pop().startswith("key-")


def test_long_ids_that_begin_alike_stay_two_and_long_tags_stay_whole() -> None:
    found = [
        heads().of((HOST, (b"x-batchata-session-id", b"a" * 300 + end))).session_id
        for end in (b"1", b"2")
    ]
    tags = ",".join(f"name{number}:{'v' * 100}" for number in range(30))
    head = heads().of((HOST, (b"x-batchata-tags", tags.encode())))

    assert len(set(found)) == 2
    assert {len(each) for each in found} == {256}
    assert len(head.tags) == 30


def test_names_that_old_clients_write_in_latin_1_are_text() -> None:
    utf8, latin1 = "Jürgen".encode(), "Jürgen".encode("latin-1")
    raw = (HOST, (b"x-batchata-session-id", latin1), (b"x-batchata-agent-id", utf8))

    head = heads().of((*raw, (b"x-batchata-tags", b"who:" + latin1)))

    assert (head.session_id, head.agent_id, head.tags) == ("Jürgen", "Jürgen", {"who": "Jürgen"})


@given(st.lists(PAIRS, min_size=2, max_size=3))
def test_of_answers_all_headers_are_kept_that_go_on(
    answers: list[list[tuple[bytes, bytes]]],
) -> None:
    for raw in answers:
        upstream = Mock(aiohttp.ClientResponse, status=200, raw_headers=tuple(raw))
        upstream.headers = CIMultiDict(decoded(raw))

        assert head_of(upstream, Mock()).headers == end_to_end(decoded(raw))


def test_the_names_of_answers_are_remembered_within_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known: dict[tuple[bytes, ...], Names] = {}
    monkeypatch.setattr(header_lists, "_NAMES", known)

    names_of([(b"a" * 9000, b"")])
    assert known == {}
    for number in range(1000):
        names_of([(b"X-%d" % number, b"")])
    assert len(known) <= 256
    assert names_of([(b"X-999", b"1")]) is known[(b"X-999",)]
