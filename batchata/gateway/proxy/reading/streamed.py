"""What streamed answers say, gathered event by event."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
import orjson

from batchata.core.bounds import place_factor
from batchata.gateway.proxy.exchange import (
    CHAT,
    COMPLETIONS,
    MESSAGES,
    RESPONSES,
    AnswerFacts,
)
from batchata.gateway.proxy.reading.answer_facts import error_of, facts_of
from batchata.gateway.proxy.reading.pieces import Pieces
from batchata.gateway.proxy.reading.streamed_chat import ChatStream
from batchata.gateway.proxy.reading.tools import ToolCall, results_of
from batchata.providers.anthropic.decode import FINISH, MessageUsage, usage_of


class StreamReader(Protocol):
    """Takes in the data of events; never raises for what a vendor sends."""

    def take(self, data: bytes) -> None: ...

    def facts(self) -> AnswerFacts: ...


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw(b"null")
    delta: Any = None
    error: Any = None
    message: str | None = None
    code: Any = None


_decode_response_event = msgspec.json.Decoder(_ResponseEvent).decode
_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


class ResponsesStream:
    """Events of the Responses API: the last one holds the whole answer."""

    def __init__(self) -> None:
        self._said = AnswerFacts()
        self._texts, self._thoughts, self._refusals = Pieces(), Pieces(), Pieces()
        self._growing = {
            "response.output_text.delta": self._texts,
            "response.refusal.delta": self._refusals,
            "response.reasoning_text.delta": self._thoughts,
            "response.reasoning_summary_text.delta": self._thoughts,
        }
        self._is_whole = False

    def take(self, data: bytes) -> None:
        """Take the data of one event in."""
        try:
            event = _decode_response_event(data)
        except (msgspec.DecodeError, RecursionError):
            return
        growing = self._growing.get(event.type)
        if growing is not None:
            if isinstance(event.delta, str):
                growing.append(event.delta)
        elif event.type == "response.created":
            self._said = facts_of(RESPONSES, 200, bytes(event.response))
            self._said.finish_reason = None
        elif event.type in _LAST:
            self._said = facts_of(RESPONSES, 200, bytes(event.response))
            self._is_whole = True
        elif event.type == "error" or event.error is not None:
            body = event.error or {"message": event.message, "code": event.code}
            self._said.error, self._said.error_type = error_of({"error": body})

    def facts(self) -> AnswerFacts:
        """What the stream said so far."""
        said = self._said
        if not self._is_whole:
            said.text = self._texts.joined()
            said.thinking = self._thoughts.joined() or None
            said.refusal = self._refusals.joined() or None
        return said


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    tool_use_id: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: Any = None
    content: Any = None
    is_error: bool | None = None


class _MessageDelta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    stop_reason: str | None = None


class _MessageHead(msgspec.Struct):
    id: str | None = None
    model: str = ""
    usage: dict[str, Any] | None = None


class _MessageEvent(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: _MessageHead | None = None
    content_block: _Block | None = None
    delta: _MessageDelta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode_message_event = msgspec.json.Decoder(_MessageEvent).decode


class MessagesStream:
    """Events of Anthropic's messages: usage is told at the start and corrected at the end."""

    def __init__(self) -> None:
        self._said = AnswerFacts()
        self._usage: dict[str, Any] = {}
        self._texts, self._thoughts = Pieces(), Pieces()
        self._calls: dict[int, tuple[_Block, Pieces]] = {}
        self._results: list[_Block] = []
        self._is_told = False  #: how much was written, at the end of it

    def take(self, data: bytes) -> None:
        """Take the data of one event in."""
        try:
            event = _decode_message_event(data)
        except (msgspec.DecodeError, RecursionError):
            return
        delta = event.delta
        if event.type == "content_block_delta" and delta is not None:
            self._grow(event.index, delta)
        elif event.type == "message_start" and event.message is not None:
            self._said.response_id, self._said.model = event.message.id, event.message.model
            self._merge(event.message.usage)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._begin(event.index, event.content_block)
        elif event.type == "message_delta":
            self._merge(event.usage)
            self._is_told = self._is_told or (event.usage or {}).get("output_tokens") is not None
            if delta is not None and delta.stop_reason:
                self._said.finish_reason = FINISH.get(delta.stop_reason, delta.stop_reason)
        elif event.type == "error" or event.error is not None:
            self._said.error, self._said.error_type = error_of({"error": event.error})

    def _begin(self, index: int, block: _Block) -> None:
        self._texts.append(block.text or "")
        self._thoughts.append(block.thinking or "")
        if block.type.endswith("tool_use"):
            self._calls[index] = (block, Pieces())
        elif block.type.endswith("tool_result"):
            self._results.append(block)

    def _grow(self, index: int, delta: _MessageDelta) -> None:
        if delta.text:
            self._texts.append(delta.text)
        elif delta.thinking:
            self._thoughts.append(delta.thinking)
        if delta.partial_json and index in self._calls:
            self._calls[index][1].append(delta.partial_json)

    def _merge(self, usage: dict[str, Any] | None) -> None:
        for name, value in (usage or {}).items():
            if value is not None:
                self._usage[name] = value

    def facts(self) -> AnswerFacts:
        """What the stream said so far."""
        said = self._said
        said.text, said.thinking = self._texts.joined(), self._thoughts.joined() or None
        said.tool_results = tuple(results_of([msgspec.to_builtins(each) for each in self._results]))
        said.tool_calls = tuple(
            ToolCall(
                id=block.id or "",
                name=block.name or "",
                arguments=parts.joined() or orjson.dumps(block.input or {}).decode(),
            )
            for _, (block, parts) in sorted(self._calls.items())
        )
        # without a last word on its output the call may have cost more than was told
        if said.finish_reason is not None and self._is_told:
            said.usage = _message_usage(self._usage)
            said.price_factor = place_factor(self._usage.get("inference_geo"))
        tier = self._usage.get("service_tier")
        said.service_tier = tier if isinstance(tier, str) else None
        return said


def _message_usage(usage: dict[str, Any]) -> Any:
    try:
        return usage_of(msgspec.convert(usage, MessageUsage))
    except msgspec.ValidationError:
        return None


def reader_for(endpoint: str | None) -> StreamReader | None:
    """What reads the streams of an endpoint; None where nothing of interest comes."""
    if endpoint in (CHAT, COMPLETIONS):
        return ChatStream()
    if endpoint == RESPONSES:
        return ResponsesStream()
    return MessagesStream() if endpoint == MESSAGES else None
