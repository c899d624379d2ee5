"""What calls cost besides their tokens, and what is only set aside."""

from __future__ import annotations

import base64
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from batch_lab import HeldModel, client_of, ended, lines_of, submit, until
from batch_lab import chat as line
from batch_lab import gateway as with_batches
from raw_lab import SECONDS, RawUpstream, Seen, call, connect, request_bytes

from batchata.core.usage import from_parts
from batchata.gateway import Gateway
from batchata.prices import GenaiPriceBook
from batchata.stores.spending import TOTAL, SpendFile

GPT, CLAUDE = "gpt-6-luna", "claude-haiku-5-5"
CHAT, RESPONSES, MESSAGES = b"/v1/chat/completions", b"/v1/responses", b"/v1/messages"
JSON = (b"Content-Type", b"application/json")
HI = [{"role": "user", "content": "hi"}]
MP3 = base64.b64encode(b"\xff\xfb\x90\x00" + bytes(296)).decode()
HEARD = {"content": [{"type": "input_audio", "input_audio": {"data": MP3}}]}
ADDED = {
    "role": "system",
    "content": [
        {
            "type": "tool_addition",
            "tool": {
                "type": "tool_definition",
                "definition": {"type": "code_execution_20260521", "name": "code_execution"},
            },
        }
    ],
}
BOOK = GenaiPriceBook()
OUTPUT_USD = BOOK.card("openai", GPT, "standard").rates.output_usd / 1_000_000


def limited(url: str, folder: Path, limit_usd: float, **options: Any) -> Gateway:
    budget = {"limit_usd": limit_usd, "state": str(folder / "s.db"), **options}
    return Gateway(url, config={"interceptors": [{"type": "budget", "config": budget}]})


def spent_usd(folder: Path) -> Decimal:
    ledger = SpendFile(folder / "s.db")
    try:
        return from_parts(ledger.read(*TOTAL).most)
    finally:
        ledger.close()


def asked(target: bytes, **body: Any) -> bytes:
    return request_bytes(target, JSON, method=b"POST", body=orjson.dumps(body))


def saying(body: Any, kind: bytes = b"application/json") -> RawUpstream:
    """An upstream that always answers so."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(data))
    return RawUpstream(lambda connection, seen: connection.sendall(head + data))


@pytest.mark.parametrize(
    ("target", "body", "name"),
    [
        (RESPONSES, {"tools": [{"type": "code_interpreter"}]}, "code_interpreter"),
        (RESPONSES, {"tools": [{"type": "image_generation"}]}, "image_generation"),
        (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "x"}}]}, "shell"),
        (CHAT, {"modalities": ["text", "audio"]}, "audio"),
        (CHAT, {"model": "gpt-4o-audio-preview", "messages": [HEARD]}, "input_audio"),
        (CHAT, {"model": "gpt-audio", "messages": [{"audio": {"id": "a"}}]}, "earlier_audio"),
        (CHAT, {"web_search_options": {}}, "web_search_options"),
        (CHAT, {"model": "gpt-4o-search-preview"}, "web_search_options"),
        (CHAT, {"models": ["gpt-6-luna", "gpt-6-sol"]}, "models"),
        (MESSAGES, {"model": CLAUDE, "fallbacks": [{"model": "claude-opus-5-5"}]}, "fallbacks"),
        (MESSAGES, {"model": CLAUDE, "tools": [{"type": "advisor_20260301"}]}, "advisor_20260301"),
        (
            RESPONSES,
            {"input": [{"type": "additional_tools", "tools": [{"type": "image_generation"}]}]},
            "image_generation",
        ),
        (MESSAGES, {"model": CLAUDE, "messages": [ADDED]}, "code_execution_20260521"),
        (RESPONSES, {"context_management": [{"type": "compaction"}]}, "compaction"),
        (RESPONSES, {"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    ],
)
def test_what_costs_more_than_its_tokens_passes_by_name_only(
    tmp_path: Path, target: bytes, body: dict[str, Any], name: str
) -> None:
    request = asked(target, **{"model": GPT, "messages": HI, "max_tokens": 9, **body})
    with saying({}) as upstream:
        with limited(upstream.url, tmp_path, 100) as gateway:
            refused = call(gateway.url, request)
        assert upstream.seen == []
        with limited(upstream.url, tmp_path, 100, uncounted=[name]) as gateway:
            assert call(gateway.url, request).status == 200

    assert refused.status in (402, 429)
    assert f"what {name} may cost" in refused.body.decode()


def test_audio_is_paid_for_at_its_own_price(tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 30,
        "prompt_tokens_details": {"audio_tokens": 10},
        "completion_tokens": 60,
        "completion_tokens_details": {"audio_tokens": 50},
    }
    said = {"choices": [{"message": {"content": None, "audio": {"id": "a"}}}], "usage": usage}
    speaking = {"modalities": ["text", "audio"], "max_tokens": 60}
    rates = BOOK.card("openai", "gpt-audio", "standard").rates
    assert rates.input_audio_usd
    assert rates.output_audio_usd

    with saying(said) as upstream, limited(upstream.url, tmp_path, 100) as gateway:
        call(gateway.url, asked(CHAT, model="gpt-audio", messages=[HEARD], **speaking))

    text = rates.input_usd * 20 + rates.output_usd * 10
    audio = rates.input_audio_usd * 10 + rates.output_audio_usd * 50
    assert spent_usd(tmp_path) == (text + audio) / 1_000_000


def test_audio_that_is_longer_than_its_size_tells_passes_by_name_only(tmp_path: Path) -> None:
    slow = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 1, 1, 1, 8) + b"data"
    part = {"data": base64.b64encode(slow + bytes(9000)).decode(), "format": "wav"}
    message = {"role": "user", "content": [{"type": "input_audio", "input_audio": part}]}
    request = asked(CHAT, model="gpt-audio", messages=[message], max_tokens=9)
    with saying({}) as upstream, limited(upstream.url, tmp_path, 100) as gateway:
        refused = call(gateway.url, request)

    assert refused.status == 429
    assert b"what input_audio may cost" in refused.body
    assert not upstream.seen


@pytest.mark.parametrize("uncounted", [[], ["input_audio"]])
def test_audio_that_only_the_answer_tells_of_keeps_what_was_set_aside(
    tmp_path: Path, uncounted: list[str]
) -> None:
    usage = {"prompt_tokens": 3, "prompt_tokens_details": {"audio_tokens": 2}}
    said = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    body = {"model": GPT, "messages": [HEARD], "max_tokens": 9}

    with (
        saying(said) as upstream,
        limited(upstream.url, tmp_path, 100, uncounted=uncounted) as gateway,
    ):
        call(gateway.url, asked(CHAT, **body))

    rates = BOOK.card("openai", GPT, "standard").rates
    as_text = rates.input_usd * 3 / 1_000_000
    if uncounted:
        assert spent_usd(tmp_path) == as_text
    else:
        assert spent_usd(tmp_path) > 100 * as_text


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "look", "parameters": {}},
        {"type": "web_search"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "mcp", "server_label": "x", "server_url": "http://x"},
    ],
)
def test_tools_whose_cost_is_known_pass(tmp_path: Path, tool: dict[str, Any]) -> None:
    request = asked(RESPONSES, model=GPT, input="hi", max_output_tokens=9, tools=[tool])

    with saying({}) as upstream, limited(upstream.url, tmp_path, 100) as gateway:
        assert call(gateway.url, request).status == 200


@pytest.mark.parametrize(
    "told",
    [
        {"tool_usage": {"web_search": {"num_requests": 2}}},
        {
            "output": [
                {"type": "web_search_call", "action": {"type": each}}
                for each in ("search", "open_page", "search")
            ]
        },
    ],
)
def test_web_searches_of_a_response_are_paid_for(tmp_path: Path, told: dict[str, Any]) -> None:
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    body = {"status": "completed", "model": GPT, "usage": usage, **told}
    tools = [{"type": "web_search"}]

    with saying(body) as upstream, limited(upstream.url, tmp_path, 100) as gateway:
        call(gateway.url, asked(RESPONSES, model=GPT, input="x", max_output_tokens=9, tools=tools))

    assert spent_usd(tmp_path) == 2 * BOOK.card("openai", GPT, "standard").web_search_usd > 0


def test_thoughts_that_are_only_in_the_total_are_output(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 9, "total_tokens": 100}
    choices = [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]

    with (
        saying({"choices": choices, "usage": usage}) as upstream,
        limited(upstream.url, tmp_path, 1) as gateway,
    ):
        call(gateway.url, asked(CHAT, model=GPT, messages=HI, max_tokens=200))

    assert spent_usd(tmp_path) == OUTPUT_USD * 100


@pytest.mark.parametrize("is_stream", [False, True])
def test_what_it_took_to_shorten_a_conversation_is_paid_for(
    tmp_path: Path, is_stream: bool
) -> None:
    more = {"type": "compaction", "input_tokens": 0, "output_tokens": 300}
    last = {"type": "message", "input_tokens": 0, "output_tokens": 100}
    usage = {"input_tokens": 0, "output_tokens": 100, "iterations": [more, last]}
    whole = {"content": [], "stop_reason": "compaction", "usage": usage}
    events = (
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 0}}},
        {"type": "message_delta", "delta": {"stop_reason": "compaction"}, "usage": usage},
    )
    stream = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in events)
    answer = saying(stream, b"text/event-stream") if is_stream else saying(whole)
    body = {"model": CLAUDE, "messages": HI, "max_tokens": 2000, "stream": is_stream}

    with answer as upstream, limited(upstream.url, tmp_path, 1) as gateway:
        call(gateway.url, asked(MESSAGES, **body, compaction={"type": "summarize"}))

    price = BOOK.card("anthropic", CLAUDE, "standard").rates.output_usd / 1_000_000
    assert spent_usd(tmp_path) == price * 400


def test_an_answer_that_was_made_in_a_dearer_place_costs_more(tmp_path: Path) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1000, "inference_geo": "us"}
    body = {"content": [], "stop_reason": "end_turn", "usage": usage}

    with saying(body) as upstream, limited(upstream.url, tmp_path, 1) as gateway:
        call(gateway.url, asked(MESSAGES, model=CLAUDE, messages=HI, max_tokens=2000))

    price = BOOK.card("anthropic", CLAUDE, "standard").rates.output_usd / 1000
    assert spent_usd(tmp_path) == price * Decimal("1.1")


def test_a_stream_that_counts_along_and_breaks_off_counts_as_its_worst_case(
    tmp_path: Path,
) -> None:
    piece = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    event = b"data: " + orjson.dumps({"choices": [piece], "usage": usage}) + b"\n\n"

    def script(connection: socket.socket, seen: Seen) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        connection.sendall(head + event)
        upstream.hold(connection)

    request = asked(CHAT, model=GPT, messages=HI, max_tokens=1000, stream=True)
    with (
        RawUpstream(script) as upstream,
        limited(upstream.url, tmp_path, 1) as gateway,
        connect(gateway.url) as client,
    ):
        client.sendall(request)
        while b"data: " not in client.recv(65_536):
            continue
        client.close()
        assert upstream.freed.wait(SECONDS)

    assert spent_usd(tmp_path) > OUTPUT_USD * 1000


def test_what_fits_once_others_are_settled_may_be_asked_again_or_waits(tmp_path: Path) -> None:
    request = asked(CHAT, model=GPT, messages=HI)  # without a cap: 0.064 USD are set aside
    model = HeldModel()
    with model.upstream() as upstream, limited(upstream.url, tmp_path, 0.1) as gateway:
        with ThreadPoolExecutor(1) as pool:
            held = [{"role": "user", "content": "hold"}]
            first = pool.submit(call, gateway.url, asked(CHAT, model=GPT, messages=held))
            until(lambda: model.asked)
            refused = call(gateway.url, request)
            model.go_on.set()
            assert first.result().status == 200
        assert call(gateway.url, request).status == 200

    assert refused.status == 429
    assert orjson.loads(refused.body)["error"]["code"] == "budget_set_aside"
    assert dict(refused.headers).get(b"x-should-retry") is None

    with (
        model.upstream() as upstream,
        limited(upstream.url, tmp_path, 0.1, wait_seconds=20) as gateway,
        ThreadPoolExecutor(8) as pool,
    ):
        replies = pool.map(call, [gateway.url] * 20, [request] * 20)
        assert {each.status for each in replies} == {200}


def test_a_batch_waits_for_what_is_only_set_aside(tmp_path: Path) -> None:
    budget = {"limit_usd": 0.2, "state": str(tmp_path / "s.db")}
    config = {"interceptors": [{"type": "budget", "config": budget}]}
    lines = [line(str(number), model=GPT) for number in range(6)]
    with (
        HeldModel().upstream() as upstream,
        with_batches(upstream.url, tmp_path, **config) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, lines))

    assert (batch.request_counts.completed, batch.request_counts.failed) == (6, 0)


def test_one_request_that_is_too_dear_leaves_the_others_alone(tmp_path: Path) -> None:
    budget = {"limit_usd": 0.01, "state": str(tmp_path / "s.db")}
    config = {"interceptors": [{"type": "budget", "config": budget}]}
    lines = [line(str(number), model=GPT, max_tokens=50) for number in range(6)]
    lines[1]["body"]["max_tokens"] = 100_000
    with (
        HeldModel().upstream() as upstream,
        with_batches(upstream.url, tmp_path, **config) as door,
        client_of(door.openai_base_url) as client,
    ):
        batch = ended(client, submit(client, lines))
        refused = lines_of(client, batch.error_file_id)

    assert batch.request_counts.completed == 5
    assert list(refused) == ["1"]


@pytest.mark.parametrize("calls", [5, "x", {"a": 1}, [5, None, "x", []]])
def test_an_answer_whose_tool_calls_are_none_reaches_its_client_and_is_paid(
    calls: Any, tmp_path: Path
) -> None:
    said = {"role": "assistant", "content": "hi", "tool_calls": calls}
    choices = [{"index": number, "message": said} for number in range(2)]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}

    with (
        saying({"id": "c", "choices": choices, "usage": usage}) as upstream,
        limited(upstream.url, tmp_path, 1) as gateway,
    ):
        answer = call(gateway.url, asked(CHAT, model=GPT, messages=HI, max_tokens=9))

    assert answer.status == 200
    assert orjson.loads(answer.body)["choices"] == choices
    assert 0 < spent_usd(tmp_path) < Decimal("0.0001")


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_is_nested_very_deep_reaches_its_client(status: int, tmp_path: Path) -> None:
    deep = b"[" * 300 + b"]" * 300
    call_of_tool = b'{"type":"tool_use","id":"t","name":"f","input":{"a":%b}}' % deep
    usage = b'{"input_tokens":3,"output_tokens":4}'
    said = b'{"id":"m","content":[%b],"usage":%b,"error":{"message":%b}}'
    data = said % (call_of_tool, usage, deep)
    head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = head % (status, len(data)) + data

    with (
        RawUpstream(lambda connection, seen: connection.sendall(answer)) as upstream,
        limited(upstream.url, tmp_path, 1) as gateway,
    ):
        came = call(gateway.url, asked(MESSAGES, model=CLAUDE, messages=HI, max_tokens=9))

    assert (came.status, came.body) == (status, data)
    assert (spent_usd(tmp_path) > 0) == (status == 200)
