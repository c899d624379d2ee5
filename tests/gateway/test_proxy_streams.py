"""What streams say, in the odd shapes in which vendors and servers send it."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from typing import Any

import brotli
import orjson
import pytest
import zstandard
from exchange_lab import an_exchange
from hypothesis import given
from hypothesis import strategies as st

from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES, Answered
from batchata.gateway.proxy.http.headers import by_name
from batchata.gateway.proxy.reading.sse import EventParser, decoder_for, whole
from batchata.gateway.proxy.reading.tee import Tee

USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
CALL = {"index": 0, "id": "call_1", "type": "function"}


def answer_to(
    endpoint: str, *events: object, field: str = "data: ", encoding: str = ""
) -> Answered:
    """What is known after a stream of these events."""
    headers = (("Content-Type", "text/event-stream"), ("Content-Encoding", encoding))
    answered = Answered(status=200, headers=headers)
    asked, named = an_exchange(endpoint), by_name(headers)
    tee = Tee(asked, answered, named, most=1 << 20, wants_pieces=False)
    text = "".join(
        f"{field}{each if isinstance(each, str) else orjson.dumps(each).decode()}\n\n"
        for each in events
    ).encode()
    data = {
        "": bytes,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": brotli.compress,
        "zstd": zstandard.compress,
    }[encoding](text)
    for start in range(0, len(data), 7):
        tee.feed(data[start : start + 7], 0.1)
    tee.finish()
    return answered


def chunk(index: int = 0, finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def test_the_first_of_several_choices_is_not_mixed_with_the_others() -> None:
    said = answer_to(
        CHAT, chunk(0, content="one "), chunk(1, content="two "), chunk(0, content="more")
    )

    assert said.text == "one more"


def test_nulls_in_later_pieces_take_nothing_away() -> None:
    said = answer_to(
        CHAT,
        chunk(tool_calls=[{**CALL, "function": {"name": "look", "arguments": None}}]),
        chunk(
            content=None,
            tool_calls=[{"index": 0, "id": None, "function": {"name": None, "arguments": '{"a"'}}],
        ),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
        chunk(finish="tool_calls"),
    )

    [call] = said.tool_calls
    assert (call.id, call.name, call.arguments) == ("call_1", "look", '{"a":1}')
    assert said.finish_reason == "tool_calls"


@pytest.mark.parametrize("after", [(), (chunk(),), ("[DONE]",)])
def test_usage_counts_wherever_it_comes(after: tuple[object, ...]) -> None:
    said = answer_to(CHAT, chunk(content="x"), {"choices": [], "usage": USAGE}, *after)

    assert said.usage is not None
    assert (said.usage.input_tokens, said.usage.output_tokens) == (10, 7)


@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "br", "zstd"])
def test_data_needs_no_space_and_may_be_packed(encoding: str) -> None:
    events = chunk(content="many words, " * 99), {"usage": USAGE}

    said = answer_to(CHAT, *events, field="data:", encoding=encoding)

    assert said.text == "many words, " * 99
    assert said.usage is not None


@pytest.mark.parametrize(
    ("endpoint", "event"),
    [
        (CHAT, {"error": {"message": "gone wrong", "type": "server_error"}}),
        (CHAT, {"object": "error", "message": "gone wrong", "type": "BadRequest", "code": 400}),
        (CHAT, {"x_groq": {"error": "gone wrong"}}),
        (RESPONSES, {"type": "error", "message": "gone wrong", "code": "server_error"}),
        (RESPONSES, {"type": "error", "message": "gone wrong", "code": 429}),
        (RESPONSES, {"error": {"message": "gone wrong"}}),
        (MESSAGES, {"error": {"message": "gone wrong"}}),
        (MESSAGES, {"type": "error", "error": {"type": "x", "message": "gone wrong"}}),
    ],
)
def test_an_error_within_a_stream_is_an_error(endpoint: str, event: object) -> None:
    said = answer_to(endpoint, chunk(content="x"), event)

    assert said.error == "gone wrong"
    assert not said.is_success


@pytest.mark.parametrize("size", [1, 5, 9999])
def test_gzip_of_several_members_is_read_whole(size: int) -> None:
    text = b"".join(gzip.compress(word) for word in (b"many ", b"", b"words")) + b"\0\0"
    unpack = decoder_for("gzip")

    assert unpack is not None
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert b"".join(map(unpack, pieces)) == b"many words"


BEGUN = {"id": "m", "model": "claude", "usage": {"input_tokens": 10, "output_tokens": 1}}


@pytest.mark.parametrize("size", [1, 7, 999])
def test_a_stream_may_begin_with_a_byte_order_mark(size: int) -> None:
    start = {"type": "message_start", "message": BEGUN}
    text = b"\xef\xbb\xbfevent: message_start\ndata: " + orjson.dumps(start) + b"\n\n"

    parser = EventParser()
    found = [each for at in range(0, len(text), size) for each in parser.feed(text[at : at + size])]

    assert [orjson.loads(each) for each in found] == [start]


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": None}])
def test_a_message_whose_end_tells_no_output_has_no_usage(usage: object) -> None:
    said = answer_to(
        MESSAGES,
        {"type": "message_start", "message": BEGUN},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
    )

    assert said.finish_reason == "stop"
    assert said.usage is None


def test_a_block_may_begin_with_what_is_in_it() -> None:
    blocks = (
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Fi"},
        {"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}},
    )
    starts = [
        {"type": "content_block_start", "index": n, "content_block": each}
        for n, each in enumerate(blocks)
    ]

    said = answer_to(
        MESSAGES, *starts, {"type": "content_block_delta", "index": 1, "delta": {"text": "ne."}}
    )

    assert (said.thinking, said.text) == ("hm", "Fine.")
    [call] = said.tool_calls
    assert (call.id, call.arguments) == ("t", '{"a":1}')


def test_content_in_parts_is_text_and_thoughts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

    said = answer_to(
        CHAT,
        chunk(content=[thought]),
        chunk(content=[{"type": "text", "text": "Fine."}], finish="stop"),
        {"choices": [], "usage": USAGE},
    )

    assert (said.thinking, said.text) == ("hm", "Fine.")
    assert said.usage is not None


@pytest.mark.parametrize("index", [{}, {"index": None}, {"index": 0}], ids=str)
@pytest.mark.parametrize("is_together", [False, True], ids=["apart", "together"])
def test_calls_without_an_index_of_their_own_are_told_apart(
    index: dict[str, Any], is_together: bool
) -> None:
    first = {**index, "id": "a", "function": {"name": "look", "arguments": '{"x":'}}
    rest = {**index, "id": None, "function": {"name": None, "arguments": "1}"}}
    second = {**index, "id": "b", "function": {"name": "look", "arguments": {"x": 2}}}
    calls = [first, rest, second]
    chunks = [chunk(tool_calls=calls)] if is_together else [chunk(tool_calls=[c]) for c in calls]

    said = answer_to(CHAT, *chunks, chunk(finish="tool_calls"))

    found = [(each.id, each.arguments) for each in said.tool_calls]
    assert found == [("a", '{"x":1}'), ("b", '{"x":2}')]


def test_an_id_that_changes_from_piece_to_piece_makes_no_new_call() -> None:
    begun = {"index": 0, "id": "a", "function": {"name": "look", "arguments": "{"}}
    goes_on = {"index": 0, "id": "z", "function": {"name": None, "arguments": "}"}}

    said = answer_to(CHAT, chunk(tool_calls=[begun]), chunk(tool_calls=[goes_on]))

    assert [(each.id, each.arguments) for each in said.tool_calls] == [("a", "{}")]


def test_groqs_usage_counts_where_it_stands() -> None:
    said = answer_to(
        CHAT, chunk(content="x"), {**chunk(finish="stop"), "x_groq": {"usage": USAGE}}, "[DONE]"
    )

    assert said.usage is not None
    assert said.usage.output_tokens == 7


def test_anthropics_later_usage_completes_the_first_and_replaces_nothing() -> None:
    first = {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5}
    said = answer_to(
        MESSAGES,
        {
            "type": "message_start",
            "message": {"id": "m", "model": "claude", "usage": {**first, "output_tokens": 1}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"thinking": "hm"}},
        {"type": "content_block_delta", "index": 1, "delta": {"text": "Fine."}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9, "cache_read_input_tokens": None},
        },
        {"type": "message_stop"},
    )

    assert said.usage is not None
    assert said.usage.input_tokens == 45
    assert (said.usage.cache_read_tokens, said.usage.cache_write_tokens) == (30, 5)
    assert said.usage.output_tokens == 9
    assert (said.text, said.finish_reason) == ("Fine.", "stop")


def test_a_stream_of_messages_without_its_end_has_no_usage() -> None:
    said = answer_to(
        MESSAGES,
        {
            "type": "message_start",
            "message": {"id": "m", "usage": {"input_tokens": 10, "output_tokens": 1}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"text": "a long ans"}},
    )

    assert said.usage is None  # its output was not told: it counts as the worst case


def test_a_response_that_ends_in_its_stream_has_id_text_usage_and_tools() -> None:
    whole = {
        "id": "resp_1",
        "object": "response",
        "status": "completed",
        "model": "gpt-6-luna",
        "output": [
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Fine."}],
            },
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        ],
        "usage": {
            "input_tokens": 10,
            "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 3},
        },
    }
    said = answer_to(
        RESPONSES,
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "Fine."},
        {"type": "response.completed", "response": whole},
    )

    assert (said.response_id, said.text) == ("resp_1", "Fine.")
    assert said.usage is not None
    assert (said.usage.output_tokens, said.usage.reasoning_tokens) == (7, 3)
    assert [call.name for call in said.tool_calls] == ["look"]


@given(
    events=st.lists(st.binary(min_size=1, max_size=8).filter(lambda each: not {10, 13} & {*each})),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_events_are_the_same_however_they_are_cut(
    events: list[bytes], end: bytes, cuts: list[int]
) -> None:
    text = b"".join(b"event: e" + end + b"data: " + each + end + end for each in events)
    parser, found, start = EventParser(), [], 0
    for stop in [*sorted(cuts), len(text)]:
        found += parser.feed(text[start:stop])
        start = max(start, stop)
    found += parser.finish()

    assert found == events


def test_a_large_event_in_small_pieces_is_read_once() -> None:
    picture = b"A" * 7_000_000
    text = b"data: " + picture + b"\n\ndata: 2\n\n"
    parser, found, began = EventParser(), [], time.thread_time()
    for start in range(0, len(text), 4096):
        found += parser.feed(text[start : start + 4096])

    assert found == [picture, b"2"]
    assert time.thread_time() - began < 1, "each piece is looked at, not all that came before"


def test_an_event_that_is_too_large_is_passed_over_and_the_next_is_read() -> None:
    parser, found = EventParser(), []
    for piece in [b"data: ", *[b"A" * 1_000_000] * 9, b"\n\n", b"data: 2\n\n"]:
        found += parser.feed(piece)

    assert parser.is_lost
    assert found == [b"2"]


def packed(encoding: str, mib: int) -> bytes:
    pack: Any = zlib.compressobj(wbits=31)
    if encoding == "zstd":
        pack = zstandard.ZstdCompressor().compressobj()
    if encoding == "br":
        return brotli.compress(bytes(mib * 2**20), quality=1)
    return b"".join(pack.compress(bytes(2**20)) for _ in range(mib)) + pack.flush()


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br"])
def test_a_body_that_unpacks_to_more_than_it_may_takes_no_memory(encoding: str) -> None:
    data = packed(encoding, 96)
    tracemalloc.start()
    try:
        assert whole(data, encoding, 2**20) is None
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()
    assert whole(packed(encoding, 1), encoding, 2**20) == bytes(2**20)
