"""What each interceptor does, seen from outside."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from raw_lab import JSON, OK, SECONDS, SSE_HEAD, RawUpstream, Reply, call, chunked, request_bytes

from batchata.core.errors import StateError
from batchata.core.usage import Usage, from_parts
from batchata.gateway import Gateway
from batchata.gateway.proxy.http.upstreams import client_of
from batchata.gateway.proxy.interceptors import rate_limit
from batchata.gateway.proxy.interceptors.rate_limit import Bucket, RateLimit
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.prices import GenaiPriceBook
from batchata.stores.spending import TOTAL, SpendFile

GPT = "gpt-6-luna"
KEY = (b"Authorization", b"Bearer one")


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as made:
        made.answer(answer("Fine."))
        yield made


def answer(text: str, tokens: int = 10, status: int = 200) -> bytes:
    body = orjson.dumps(
        {
            "id": "c1",
            "model": GPT,
            "choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": tokens, "completion_tokens": tokens},
        }
    )
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def through(url: str, *interceptors: dict[str, Any]) -> Gateway:
    return Gateway(url, config={"interceptors": list(interceptors)})


def ask(gateway: Gateway, content: str = "hi", *headers: tuple[bytes, bytes]) -> Reply:
    body = {"model": GPT, "messages": [{"role": "user", "content": content}]}
    given = headers or (KEY,)
    request = request_bytes(
        b"/v1/chat/completions", JSON, *given, method=b"POST", body=orjson.dumps(body)
    )
    return call(gateway.url, request)


def test_a_server_without_v1_in_its_address_is_understood_too(upstream: RawUpstream) -> None:
    recorder = TestRecorder()
    with (
        Gateway(f"{upstream.url}/v1beta/openai", interceptors=[recorder]) as gateway,
        openai.OpenAI(base_url=gateway.url, api_key="k", max_retries=0) as client,
    ):
        client.chat.completions.create(model=GPT, messages=[{"role": "user", "content": "hi"}])
        gateway.drain()

    assert upstream.seen[0].target == b"/v1beta/openai/chat/completions"
    answered = recorder.exchanges[0].answer
    assert answered is not None
    assert (answered.text, answered.usage) == ("Fine.", Usage(10, 10))


# cache


def test_the_same_question_of_the_same_client_is_answered_from_the_cache(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    cache = {"type": "cache", "config": {"file": str(tmp_path / "c.db")}}
    with through(upstream.url, cache) as gateway:
        first, again = ask(gateway), ask(gateway)
        ask(gateway, "other")
        ask(gateway, "hi", (b"Authorization", b"Bearer two"))
    with through(upstream.url, cache) as gateway:
        restarted = ask(gateway)

    assert len(upstream.seen) == 3
    assert first.body == again.body == restarted.body
    assert (first.all(b"x-batchata-cache"), again.all(b"x-batchata-cache")) == ([], [b"hit"])
    assert again.all(b"set-cookie") == []


def test_what_is_shared_serves_every_client_and_what_is_old_nobody(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    shared = {"type": "cache", "config": {"file": str(tmp_path / "c.db"), "shared": True}}
    old = {"type": "cache", "config": {"file": str(tmp_path / "o.db"), "ttl_seconds": 0}}
    with through(upstream.url, shared) as gateway:
        ask(gateway)
        ask(gateway, "hi", (b"Authorization", b"Bearer two"))
    with through(upstream.url, old) as gateway:
        ask(gateway)
        ask(gateway)

    assert len(upstream.seen) == 3


def test_of_too_many_answers_the_oldest_go(upstream: RawUpstream, tmp_path: Path) -> None:
    cache = {"type": "cache", "config": {"file": str(tmp_path / "c.db"), "max_entries": 2}}
    with through(upstream.url, cache) as gateway:
        for content in ("one", "two", "three"):
            ask(gateway, content)
    with through(upstream.url, cache) as gateway:
        hits = [ask(gateway, each).all(b"x-batchata-cache") for each in ("three", "two", "one")]

    assert hits == [[b"hit"], [b"hit"], []]


def test_an_error_is_never_cached(upstream: RawUpstream, tmp_path: Path) -> None:
    upstream.answer(answer("no", status=500))
    with through(
        upstream.url, {"type": "cache", "config": {"file": f"{tmp_path}/c.db"}}
    ) as gateway:
        ask(gateway)
        upstream.answer(answer("Fine."))
        assert ask(gateway).status == 200


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices": [{"index": 0, "delta": {"content": "Fi"}}]}\n\n',
        b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}\n\n',
    ],
)
def test_a_stream_that_broke_off_is_never_cached(
    upstream: RawUpstream, tmp_path: Path, broken: bytes
) -> None:
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    with through(
        upstream.url, {"type": "cache", "config": {"file": f"{tmp_path}/c.db"}}
    ) as gateway:
        upstream.answer(SSE_HEAD + chunked(broken))
        assert ask(gateway).body == broken
        upstream.answer(SSE_HEAD + chunked(end))
        assert [ask(gateway).body for _ in range(2)] == [end, end]

    assert len(upstream.seen) == 2


def test_a_database_of_another_program_is_no_cache(upstream: RawUpstream, tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE answers (mine)")
    before = path.read_bytes()
    with (
        pytest.raises(StateError, match=r"mine.db' is no gateway cache; it was left as it is"),
        through(upstream.url, {"type": "cache", "config": {"file": str(path)}}),
    ):
        pass
    assert path.read_bytes() == before


def test_a_cached_answer_costs_nothing(upstream: RawUpstream, tmp_path: Path) -> None:
    cache = {"type": "cache", "config": {"file": str(tmp_path / "c.db")}}
    budget = {"type": "budget", "config": {"limit_usd": 5, "state": str(tmp_path / "s.db")}}
    with through(upstream.url, budget, cache) as gateway:
        for _ in range(3):
            assert ask(gateway).status == 200

    ledger = SpendFile(tmp_path / "s.db")
    once = GenaiPriceBook().card("openai", GPT, "standard").cost_usd(Usage(10, 10))
    assert from_parts(ledger.read(*TOTAL).most) == once
    ledger.close()


# rate_limit


def test_requests_above_the_rate_are_told_when_to_come_back(upstream: RawUpstream) -> None:
    limit = {"type": "rate_limit", "config": {"requests_per_minute": 2, "per": "key"}}
    with through(upstream.url, limit) as gateway:
        found = [ask(gateway) for _ in range(3)]
        other = ask(gateway, "hi", (b"Authorization", b"Bearer two"))
        free = call(gateway.url, request_bytes(b"/v1/models", KEY))

    assert [each.status for each in found] == [200, 200, 429]
    assert 1 <= int(found[2].all(b"retry-after")[0]) <= 31
    error = orjson.loads(found[2].body)["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert "rate limit of 2 requests a minute for each key is reached" in error["message"]
    assert (other.status, free.status, len(upstream.seen)) == (200, 200, 4)


def test_a_client_that_changes_its_keys_gets_no_new_allowance_for_the_old_ones(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "_MOST_BUCKETS", 2)
    limit = {"type": "rate_limit", "config": {"requests_per_minute": 1, "per": "key"}}
    keys = ["one", "two", "three", "four", "one", "two"]

    with through(upstream.url, limit) as gateway:
        found = [ask(gateway, "hi", (b"Authorization", f"Bearer {key}".encode())) for key in keys]

    assert [each.status for each in found] == [200, 200, 200, 429, 429, 429]


def test_a_key_that_has_used_nothing_for_a_minute_is_forgotten() -> None:
    limit = RateLimit(requests_per_minute=60.0, per="key")
    for number in range(5):
        limit._buckets[str(number)] = Bucket(60.0, 0, 0.0, in_flight=int(number == 0))

    assert limit._forget_one()

    assert list(limit._buckets) == ["2", "3", "4", "0"]


@pytest.mark.parametrize(
    "limit",
    [
        {"type": "rate_limit", "config": {"requests_per_minute": 2, "per": "key"}},
        {"type": "budget", "config": {"limit_usd": 100, "per": "key"}},
    ],
    ids=["rate_limit", "budget"],
)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([KEY, (b"api-key", b"two")], 400),
        ([KEY, (b"authorization", b"Bearer two")], 400),
        ([KEY, (b"x-api-key", b"one")], 200),
        ([KEY, (b"x-api-key", b"two"), (b"Connection", b"X-Api-Key")], 200),
    ],
)
def test_a_limit_per_key_holds_for_the_one_key_that_is_sent_on(
    upstream: RawUpstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, Any],
    headers: list[tuple[bytes, bytes]],
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)

    with through(upstream.url, limit) as gateway:
        found = ask(gateway, "hi", *headers)

    assert found.status == status
    assert (status == 400) == (b'"several_keys"' in found.body)


def test_one_key_is_one_client_however_it_is_written() -> None:
    written = [
        ("Authorization", "Bearer one"),
        ("authorization", "bearer  one "),
        ("api-key", "one"),
    ]

    assert len({client_of((each,)) for each in written}) == 1
    assert client_of(tuple(written)) == client_of((written[0],))


@pytest.mark.parametrize(
    "name", ["Authorization", "x-api-key", "api-key", "x-goog-api-key", "Ocp-Apim-Subscription-Key"]
)
def test_nobody_is_given_what_another_key_has_asked_nor_our_key_besides(
    upstream: RawUpstream, tmp_path: Path, name: str
) -> None:
    cache = {"type": "cache", "config": {"file": f"{tmp_path}/c.db"}}
    llm = {"base_url": upstream.url, "api_key": "ours"}
    with Gateway(config={"llm": llm, "interceptors": [cache]}) as gateway:
        for key in (b"one", b"two", b"one"):
            assert ask(gateway, "hi", (name.encode(), key)).status == 200

    assert [each.all(name.lower().encode()) for each in upstream.seen] == [[b"one"], [b"two"]]
    told = [each for seen in upstream.seen for each in seen.headers]
    assert not [value for _, value in told if b"ours" in value]


def test_tokens_count_when_an_answer_tells_them(upstream: RawUpstream) -> None:
    limit = {"type": "rate_limit", "config": {"tokens_per_minute": 15}}
    with through(upstream.url, limit) as gateway:
        found = [ask(gateway).status for _ in range(2)]

    assert found == [200, 429]


def test_a_call_may_wait_for_its_turn(upstream: RawUpstream) -> None:
    config = {"concurrency": 1, "wait_seconds": 60}
    goes_on = threading.Event()

    def hold(connection: Any, seen: Any) -> None:
        assert goes_on.wait(SECONDS)
        connection.sendall(OK)

    upstream.script = hold
    with (
        through(upstream.url, {"type": "rate_limit", "config": config}) as gateway,
        ThreadPoolExecutor(2) as pool,
    ):
        found = [pool.submit(ask, gateway), pool.submit(ask, gateway)]
        while b'"in_flight":2' not in call(gateway.url, request_bytes(b"/health")).body:
            pass
        assert len(upstream.seen) <= 1
        goes_on.set()

    assert [each.result().status for each in found] == [200, 200]


# redact


def test_keys_and_patterns_leave_requests_before_anybody_sees_them(
    upstream: RawUpstream,
) -> None:
    redact = {"type": "redact", "config": {"patterns": {"staff": "E-[0-9]{6}"}}}
    prose = "the access token was refreshed, see sk-learn and task-force"
    key = "sk-ant-api03-0123456789abcdef"
    with through(upstream.url, redact, {"type": "test_recorder"}) as gateway:
        ask(gateway, f"{prose}: {key}, E-123456")
        ask(gateway, prose)

    sent = [orjson.loads(each.body)["messages"][0]["content"] for each in upstream.seen]
    assert sent == [f"{prose}: [anthropic_key], [staff]", prose]
    assert upstream.seen[0].all(b"content-length") == [b"%d" % len(upstream.seen[0].body)]


# printer


def test_a_name_that_a_client_made_up_does_not_reach_the_terminal_raw(
    upstream: RawUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    body = b'{"model":"\\u001b[2Jm\\nsession.end","messages":[]}'
    with through(upstream.url, {"type": "printer"}) as gateway:
        request = request_bytes(b"/v1/chat/completions", JSON, method=b"POST", body=body)
        call(gateway.url, request)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert "?[2Jm session.end" in lines[1]
