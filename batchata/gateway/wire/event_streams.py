"""Turns complete answers into the vendors' event streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

PIECE: Final = 24  #: characters of one delta
#: what chunks of a chat completion repeat
_CHUNK: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
#: parts of a chat message that have deltas of their own
_TOLD: Final = frozenset({"role", "content", "refusal", "tool_calls"})
Wire = dict[str, Any]


def chat_events(body: Wire, *, wants_usage: bool) -> list[bytes]:
    """The chunks of a chat completion."""
    chunks = _chat_chunks(body, wants_usage)
    return [*(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in chunks), b"data: [DONE]\n\n"]


def response_events(body: Wire) -> list[bytes]:
    """The events of a response."""
    events = enumerate(_response_events(body))
    return [named_event(event | {"sequence_number": number}) for number, event in events]


def message_events(body: Wire) -> list[bytes]:
    """The events of a message."""
    return [named_event(event) for event in _message_events(body)]


def named_event(event: Wire) -> bytes:
    """An event under the name of its type."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))


def _pieces(text: str) -> Iterable[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _chat_chunks(body: Wire, wants_usage: bool) -> Iterator[Wire]:
    base: Wire = {key: body[key] for key in _CHUNK if key in body}
    base |= {"object": "chat.completion.chunk", "usage": None}
    for choice in body["choices"]:
        index, message = choice["index"], choice["message"]
        yield base | _delta(index, {"role": "assistant", "content": ""})
        for piece in _pieces(message.get("content") or ""):
            yield base | _delta(index, {"content": piece})
        if message.get("refusal"):
            yield base | _delta(index, {"refusal": message["refusal"]})
        for number, call in enumerate(message.get("tool_calls") or ()):
            yield base | _delta(index, {"tool_calls": [call | {"index": number}]})
        rest = {key: value for key, value in message.items() if value and key not in _TOLD}
        if rest:
            yield base | _delta(index, rest)
        yield base | _delta(index, {}, choice.get("finish_reason"))
    if wants_usage:
        yield base | {"choices": [], "usage": body.get("usage")}


def _delta(index: int, delta: Wire, reason: str | None = None) -> Wire:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def _response_events(body: Wire) -> Iterator[Wire]:
    begun = body | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for number, item in enumerate(body["output"]):
        place = {"output_index": number}
        yield {"type": "response.output_item.added", "item": _begun(item), **place}
        place |= {"item_id": item.get("id")}
        if item.get("type") == "message":
            for index, part in enumerate(item.get("content") or ()):
                yield from _part_events(part, place | {"content_index": index})
        elif item.get("type") == "function_call":
            said = item.get("arguments") or ""
            kind = "response.function_call_arguments"
            yield {"type": f"{kind}.delta", "delta": said, **place}
            yield {"type": f"{kind}.done", "arguments": said, "name": item.get("name"), **place}
        yield {"type": "response.output_item.done", "item": item, "output_index": number}
    yield {"type": f"response.{body['status']}", "response": body}


def _begun(item: Wire) -> Wire:
    """An item before anything is in it."""
    empty: dict[str, Wire] = {"message": {"content": []}, "function_call": {"arguments": ""}}
    found = empty.get(str(item.get("type")))
    return item if found is None else item | found | {"status": "in_progress"}


def _part_events(part: Wire, place: Wire) -> Iterator[Wire]:
    if part.get("type") != "output_text":
        yield {"type": "response.content_part.added", "part": part, **place}
        yield {"type": "response.content_part.done", "part": part, **place}
        return
    text = part.get("text") or ""
    yield {"type": "response.content_part.added", "part": part | {"text": ""}, **place}
    for piece in _pieces(text):
        yield {"type": "response.output_text.delta", "delta": piece, "logprobs": [], **place}
    yield {"type": "response.output_text.done", "text": text, "logprobs": [], **place}
    yield {"type": "response.content_part.done", "part": part, **place}


def _message_events(body: Wire) -> Iterator[Wire]:
    usage = body.get("usage") or {"input_tokens": 0, "output_tokens": 0}
    start = body | {"content": [], "stop_reason": None, "stop_details": None}
    yield {"type": "message_start", "message": start | {"usage": usage | {"output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(body["content"]):
        empty, deltas = _block_deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {key: body.get(key) for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def _block_deltas(block: Wire) -> tuple[Wire, list[Wire]]:
    match block["type"]:
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            return block | {"thinking": "", "signature": ""}, [thought, signed]
        case "tool_use" | "server_tool_use":
            json = orjson.dumps(block["input"]).decode()
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json}]
        case "text":
            deltas = [{"type": "text_delta", "text": text} for text in _pieces(block["text"])]
            cited = block.get("citations") or ()
            deltas += [{"type": "citations_delta", "citation": citation} for citation in cited]
            return block | {"text": ""}, deltas
        case _:
            return block, []
