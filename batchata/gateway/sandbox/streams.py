"""Makes a finished answer into the vendors' event streams."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Final

import orjson
from aiohttp import web

PIECE: Final = 24  #: characters of one delta
OVERLOADED: Final = {
    "type": "error",
    "error": {"type": "overloaded_error", "message": "scripted fault of the sandbox"},
}
SERVER_ERROR: Final = {"message": "scripted fault of the sandbox", "type": "server_error"}


class EventStream(web.Response):
    """An answer that is sent event by event."""

    def __init__(self, events: list[bytes], broken: bytes) -> None:
        super().__init__(body=_sent(events), headers={"Content-Type": "text/event-stream"})
        self._events = events
        self._broken = broken

    def with_error(self) -> "EventStream":
        """Give the same stream with an error event in its middle."""
        kept = self._events[: max(1, len(self._events) // 2)]
        return EventStream([*kept, self._broken], self._broken)


def chat_stream(body: bytes, *, wants_usage: bool) -> EventStream:
    """Make the chunks of a chat completion."""
    events = _chat_chunks(orjson.loads(body), wants_usage)
    lines = [b"data: %b\n\n" % orjson.dumps(event) for event in events]
    broken = b"data: %b\n\n" % orjson.dumps({"error": SERVER_ERROR | {"param": None, "code": None}})
    return EventStream([*lines, b"data: [DONE]\n\n"], broken)


def response_stream(body: bytes) -> EventStream:
    """Make the events of a response."""
    events = enumerate(_response_events(orjson.loads(body)))
    numbered = [event | {"sequence_number": number} for number, event in events]
    broken = {"type": "error", "sequence_number": 2, "code": "server_error", "param": None}
    broken["message"] = SERVER_ERROR["message"]
    return EventStream([_named(event) for event in numbered], _named(broken))


def message_stream(body: bytes) -> EventStream:
    """Make the events of a message."""
    events = [_named(event) for event in _message_events(orjson.loads(body))]
    return EventStream(events, _named(OVERLOADED))


async def _sent(events: list[bytes]) -> AsyncIterator[bytes]:
    for event in events:
        yield event


def _named(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), orjson.dumps(event))


def _pieces(text: str) -> Iterable[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _chat_chunks(body: dict[str, Any], wants_usage: bool) -> Iterator[dict[str, Any]]:
    base = {
        key: body[key] for key in ("id", "created", "model", "service_tier", "system_fingerprint")
    }
    base |= {"object": "chat.completion.chunk", "usage": None}
    for choice in body["choices"]:
        index, message = choice["index"], choice["message"]
        yield base | _delta(index, {"role": "assistant", "content": ""})
        for piece in _pieces(message["content"] or ""):
            yield base | _delta(index, {"content": piece})
        if message["refusal"]:
            yield base | _delta(index, {"refusal": message["refusal"]})
        for number, call in enumerate(message.get("tool_calls", ())):
            yield base | _delta(index, {"tool_calls": [call | {"index": number}]})
        yield base | _delta(index, {}, choice["finish_reason"])
    if wants_usage:
        yield base | {"choices": [], "usage": body["usage"]}


def _delta(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def _response_events(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = body | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for number, item in enumerate(body["output"]):
        place = {"output_index": number}
        yield {"type": "response.output_item.added", "item": item, **place}
        for part in item.get("content", ()):
            text = part.get("text", "")
            place = {"item_id": item["id"], "output_index": number, "content_index": 0}
            for piece in _pieces(text):
                delta = {"delta": piece, "logprobs": []}
                yield {"type": "response.output_text.delta", **delta, **place}
        yield {"type": "response.output_item.done", "item": item, "output_index": number}
    yield {"type": f"response.{body['status']}", "response": body}


def _message_events(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = body["usage"] or {"input_tokens": 0, "output_tokens": 0}
    start = body | {"content": [], "stop_reason": None, "stop_details": None}
    yield {"type": "message_start", "message": start | {"usage": usage | {"output_tokens": 1}}}
    yield {"type": "ping"}
    for index, block in enumerate(body["content"]):
        empty, deltas = _block_deltas(block)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {key: body[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    yield {"type": "message_delta", "delta": end, "usage": usage}
    yield {"type": "message_stop"}


def _block_deltas(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "thinking":
            signed = {"type": "signature_delta", "signature": block["signature"]}
            thought = {"type": "thinking_delta", "thinking": block["thinking"]}
            return block | {"thinking": "", "signature": ""}, [thought, signed]
        case "tool_use":
            json = orjson.dumps(block["input"]).decode()
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json}]
        case _:
            deltas = [{"type": "text_delta", "text": text} for text in _pieces(block["text"])]
            cited = block.get("citations") or ()
            deltas += [{"type": "citations_delta", "citation": citation} for citation in cited]
            return block | {"text": ""}, deltas
