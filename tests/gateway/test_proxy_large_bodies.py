"""Questions too large for memory wait on disk, and policies decide about them all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from batch_lab import until
from raw_lab import RawUpstream, Reply, call, chunked, connect, request_bytes

from batchata.core.usage import from_parts
from batchata.gateway import Gateway
from batchata.gateway.proxy.interceptors.test_recorder import TestRecorder
from batchata.prices import GenaiPriceBook

MODEL = "gpt-6-luna"
CHAT = b"/v1/chat/completions"
SMALL, LARGE = 4_096, 3_000_000
ANSWER = orjson.dumps(
    {
        "id": "c",
        "model": MODEL,
        "choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }
)


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream() as found:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        found.answer(head % len(ANSWER) + ANSWER)
        yield found


def question(size: int, **fields: Any) -> bytes:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}}
    messages = [{"role": "user", "content": [image]}]
    body = {"messages": messages, "model": MODEL, "max_completion_tokens": 50, **fields}
    return orjson.dumps(body)


def through(upstream: RawUpstream, *interceptors: Any, **server: Any) -> Gateway:
    section = {"inspect_bytes": SMALL, **server}
    return Gateway(upstream.url, config={"server": section, "interceptors": [*interceptors]})


def ask(gateway: Gateway, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    json = (b"Content-Type", b"application/json")
    return call(gateway.url, request_bytes(CHAT, json, *headers, method=b"POST", body=body))


def budget(tmp_path: Path, limit_usd: float) -> dict[str, Any]:
    return {"type": "budget", "config": {"limit_usd": limit_usd, "state": str(tmp_path / "s.db")}}


def test_a_large_question_arrives_byte_for_byte_and_is_priced(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    body = question(LARGE)
    recorder = TestRecorder()
    config = {"server": {"inspect_bytes": SMALL}, "interceptors": [budget(tmp_path, 100)]}
    with Gateway(upstream.url, interceptors=[recorder], config=config) as gateway:
        reply = ask(gateway, body)
    told = {each.name: each.attributes for each in recorder.events}

    assert (reply.status, reply.body) == (200, ANSWER)
    assert upstream.seen[0].body == body
    assert upstream.seen[0].all(b"content-length") == [b"%d" % len(body)]
    assert told["llm.call.start"]["llm.model"] == MODEL
    assert Decimal(told["llm.call.finish"]["llm.cost_usd"]) > 0


def test_a_large_question_in_chunks_arrives_whole(upstream: RawUpstream) -> None:
    body = question(LARGE)
    head = (
        b"POST " + CHAT + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    pieces = [body[start : start + 500_000] for start in range(0, len(body), 500_000)]
    with through(upstream) as gateway:
        reply = call(gateway.url, head + chunked(*pieces))

    assert reply.status == 200
    assert upstream.seen[0].body == body


def test_the_whole_context_is_set_aside_for_what_is_not_read(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    card = GenaiPriceBook().card("openai", MODEL, "standard")
    least = float(from_parts(card.worst_case(200_000, 50)))
    with through(upstream, budget(tmp_path, least)) as gateway:
        refused = ask(gateway, question(LARGE))
        small = ask(gateway, question(10))

    assert refused.status == 429
    assert b"the gateway's budget refuses this call: this call may cost" in refused.body
    assert small.status == 200
    assert len(upstream.seen) == 1


def test_a_budget_refuses_what_may_hold_audio_at_a_price_of_its_own(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    prices = {MODEL: {"input": 0, "output": 0, "input_audio": 0}}
    config = {
        "server": {"inspect_bytes": SMALL},
        "interceptors": [budget(tmp_path, 1)],
        "prices": prices,
    }
    with Gateway(upstream.url, config=config) as gateway:
        refused, small = ask(gateway, question(LARGE)), ask(gateway, question(10))

    assert b"what input_audio may cost" in refused.body
    assert small.status == 200


@pytest.mark.parametrize("name", ["tools", "prompt"])
def test_a_budget_refuses_what_has_no_bound(
    upstream: RawUpstream, tmp_path: Path, name: str
) -> None:
    body = question(10, **{name: [{"type": "web_search", "x": "A" * LARGE}]})
    with through(upstream, budget(tmp_path, 1_000_000)) as gateway:
        refused = ask(gateway, body)

    assert refused.status == 400
    assert f"{name} cannot be read".encode() in refused.body
    assert not upstream.seen


def test_a_large_question_goes_where_its_model_says(upstream: RawUpstream) -> None:
    with RawUpstream() as other:
        other.answer(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        sections = [
            {"name": "a", "base_url": other.url},
            {"name": "b", "base_url": upstream.url, "models": ["gpt-*"]},
        ]
        server = {"inspect_bytes": SMALL}
        with Gateway(config={"server": server, "upstreams": sections}) as gateway:
            assert ask(gateway, question(LARGE)).status == 200


def test_no_cassette_takes_one_large_question_for_another(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    record = {"type": "record", "config": {"directory": str(tmp_path)}}
    replay = {"type": "replay", "config": {"directory": str(tmp_path)}}
    with through(upstream, record) as gateway:
        ask(gateway, question(LARGE))
    with through(upstream, replay) as gateway:
        same, other = ask(gateway, question(LARGE)), ask(gateway, question(LARGE + 4))

    assert (same.status, same.body) == (200, ANSWER)
    assert other.status == 404
    assert (tmp_path / "cassette.jsonl").stat().st_size < 10_000


def test_one_large_question_is_not_answered_with_what_another_was_told(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    cache = {"type": "cache", "config": {"file": str(tmp_path / "c.db")}}
    with through(upstream, cache) as gateway:
        replies = [ask(gateway, question(size)) for size in (LARGE, LARGE + 4, LARGE)]

    assert [each.all(b"x-batchata-cache") for each in replies] == [[], [], [b"hit"]]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (question(LARGE), b"application/json"),
        (b"[1, 2", b"application/json"),
        (b'{"messages": []}', b"text/plain"),
    ],
    ids=["large", "broken", "text"],
)
def test_redact_lets_nothing_through_that_it_cannot_look_through(
    upstream: RawUpstream, body: bytes, kind: bytes
) -> None:
    request = request_bytes(CHAT, (b"Content-Type", kind), method=b"POST", body=body)
    with through(upstream, {"type": "redact"}) as gateway:
        refused = call(gateway.url, request)
    with through(upstream, {"type": "redact", "config": {"pass_unread": True}}) as gateway:
        passed = call(gateway.url, request)

    assert refused.status == 400
    assert b"pass_unread" in refused.body
    assert passed.status == 200
    assert [each.body for each in upstream.seen] == [body]


def test_redact_has_nothing_against_a_request_without_a_body(upstream: RawUpstream) -> None:
    with through(upstream, {"type": "redact"}) as gateway:
        assert call(gateway.url, request_bytes(b"/v1/models")).status == 200


def test_what_is_larger_than_the_disk_may_hold_is_refused(upstream: RawUpstream) -> None:
    body = question(LARGE)
    head = (
        b"POST " + CHAT + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    with through(upstream, spill_bytes=1_000_000) as gateway:
        told, untold = ask(gateway, body), call(gateway.url, head + chunked(body))

    assert (told.status, untold.status) == (413, 413)
    assert b"spill_bytes" in told.body
    assert not upstream.seen


def open_files_below(folder: Path) -> list[str]:
    """What this process has open there, where the system tells."""
    found = []
    for each in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            found.append(str(each.readlink()))
    return [each for each in found if each.startswith(str(folder))]


def test_a_body_on_disk_has_no_name_and_goes_with_its_call(
    upstream: RawUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tempfile.tempdir", str(tmp_path)
    )  # found out, it would be tried with a file
    body = question(LARGE)
    with through(upstream) as gateway:
        connection = connect(gateway.url)
        request = request_bytes(
            CHAT, (b"Content-Type", b"application/json"), method=b"POST", body=body
        )
        connection.sendall(request[: LARGE // 2])
        if Path("/proc/self/fd").exists():
            until(lambda: open_files_below(tmp_path))
        assert list(tmp_path.iterdir()) == []
        connection.close()
        ask(gateway, body)
    assert list(tmp_path.iterdir()) == []
    assert not open_files_below(tmp_path)
