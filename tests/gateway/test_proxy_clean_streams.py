"""Keys in recorded streams are taken out, however they are spread."""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.gateway.proxy.exchange import Answered
from batchata.gateway.proxy.interceptors.redact import Redact
from batchata.gateway.proxy.tape.cassette import response_row
from batchata.gateway.proxy.tape.clean_streams import clean_pieces

KEY = "sk-proj-0123456789abcdefghij"
CLEANER = Redact()


def chat(part: str) -> Any:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": part}}]}


def arguments(part: str) -> Any:
    call = {"index": 1, "function": {"arguments": part}}
    return {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def response(part: str) -> Any:
    return {"type": "response.output_text.delta", "item_id": "i", "content_index": 0, "delta": part}


def message(part: str) -> Any:
    delta = {"type": "input_json_delta", "partial_json": part}
    return {"type": "content_block_delta", "index": 2, "delta": delta}


def completion(part: str) -> Any:
    return {"choices": [{"index": 0, "text": part}]}


SHAPES = [chat, arguments, response, message, completion]


def stream(shape: Any, parts: list[str]) -> bytes:
    return b"".join(b"event: x\ndata: " + orjson.dumps(shape(each)) + b"\n\n" for each in parts)


def said(shape: Any, data: bytes) -> str:
    """The text that grew in a stream of this shape."""

    def text(value: Any, mark: Any) -> str:
        if isinstance(mark, dict):
            return "".join(text(value[name], each) for name, each in mark.items())
        if isinstance(mark, list):
            return "".join(text(*each) for each in zip(value, mark, strict=True))
        return value if mark == "MARK" else ""

    lines = [line[6:] for line in data.splitlines() if line.startswith(b"data: ")]
    return "".join(text(orjson.loads(line), shape("MARK")) for line in lines)


def cut(data: bytes, places: list[int]) -> list[tuple[float, bytes]]:
    ends = [0, *sorted({place % (len(data) + 1) for place in places} | {len(data)})]
    return [(float(number), data[a:b]) for number, (a, b) in enumerate(pairwise(ends))]


@given(
    shape=st.sampled_from(SHAPES),
    places=st.lists(st.integers(1, 60), max_size=6),
    cuts=st.lists(st.integers(0, 5000), max_size=9),
    around=st.tuples(st.text(max_size=8), st.text(max_size=8)).map(
        lambda both: (f"{both[0]} \n", f" {both[1]}")
    ),
)
def test_a_key_is_taken_out_however_it_is_spread_and_all_else_stays(
    shape: Any, places: list[int], cuts: list[int], around: tuple[str, str]
) -> None:
    before, after = around
    whole = f"{before}{KEY}{after}"
    ends = [0, *sorted({place % len(whole) for place in places} - {0}), len(whole)]
    data = stream(shape, [whole[a:b] for a, b in pairwise(ends)])
    pieces = cut(data, cuts)

    cleaned = clean_pieces(pieces, CLEANER)

    joined = b"".join(piece for _, piece in cleaned)
    assert said(shape, joined) == f"{before}[openai_key]{after}"
    assert [seconds for seconds, _ in cleaned] == [seconds for seconds, _ in pieces]
    assert joined.count(b"event: x\n") == data.count(b"event: x\n")


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=9))
def test_a_stream_without_a_key_is_recorded_byte_for_byte(data: bytes, cuts: list[int]) -> None:
    pieces = cut(b"data: " + data, cuts)

    assert clean_pieces(pieces, CLEANER) is pieces


@pytest.mark.parametrize("before", ["", "密钥是", "é", "\n", "_"])
def test_a_key_in_an_event_of_its_own_is_taken_out_whatever_comes_before_it(before: str) -> None:
    event = {"type": "response.function_call_arguments.done", "arguments": f"{before}{KEY}"}
    data = b"data: " + orjson.dumps(event) + b"\r\n\r\n"

    [(_, cleaned)] = clean_pieces([(0.0, data)], CLEANER)

    assert orjson.loads(cleaned[6:])["arguments"] == f"{before}[openai_key]"
    assert cleaned.endswith(b"}\r\n\r\n")


def test_texts_that_grow_beside_each_other_are_told_apart() -> None:
    halves = KEY[:6], KEY[6:]
    events = [
        {"choices": [{"index": number, "delta": {"content": half}}]}
        for half in halves
        for number in range(2)
    ]
    data = b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in events)

    [(_, cleaned)] = clean_pieces([(0.0, data)], CLEANER)

    parts = [orjson.loads(line[6:]) for line in cleaned.splitlines() if line]
    assert [each["choices"][0]["delta"]["content"] for each in parts] == [
        *("[openai_key]", "[openai_key]"),
        *("", ""),
    ]


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_no_key_is_in_a_cassette_whose_stream_was_cut_within_a_character(encoding: str) -> None:
    data = stream(chat, ["é", KEY[:9], KEY[9:], "é"])
    at = data.index("é".encode()) + 1
    body = gzip.compress(data) if encoding else data
    answered = Answered(
        status=200,
        headers=(("Content-Type", "text/event-stream"), ("Content-Encoding", encoding)),
        body=body,
        pieces=[(0.1, data[:at]), (0.2, data[at:])],
        is_stream=True,
    )

    row = orjson.dumps(response_row(answered))

    assert KEY[9:].encode() not in row
    assert b"base64" not in row
    assert b"[openai_key]" in row
