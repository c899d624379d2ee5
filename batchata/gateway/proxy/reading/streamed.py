"""What streamed answers say, gathered event by event."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from batchata.gateway.proxy.exchange import CHAT, COMPLETIONS, MESSAGES, RESPONSES, ToolCall
from batchata.gateway.proxy.reading.told import Told, error_of, told_by
from batchata.providers.anthropic.decode import FINISH, MessageUsage, usage_of
from batchata.providers.openai.decode import chat_usage, decode_body
from batchata.providers.openai.wire import ChatUsage

#: characters of an answer that are gathered; a longer one is relayed whole all the same
MOST_TEXT: Final = 4 * 1024 * 1024


class StreamReader(Protocol):
    """Takes the data of events in; never raises for what a vendor sends."""

    def take(self, data: bytes) -> None: ...

    def told(self) -> Told: ...


class _Pieces:
    """Text that grows piece by piece, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def append(self, part: str) -> None:
        self._size += len(part)
        if self._size <= MOST_TEXT:
            self._parts.append(part)
            if len(self._parts) > 4096:  # a character in a list of its own takes sixty bytes
                self._parts = ["".join(self._parts)]

    def joined(self) -> str:
        return "".join(self._parts)


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolDelta(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolDelta] | None = None


class _ChunkChoice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_ChunkChoice] | None = None
    usage: ChatUsage | None = None
    service_tier: str | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class ChatStream:
    """Chunks of chat completions, and of the older completions."""

    def __init__(self) -> None:
        self._said = Told()
        self._texts = _Pieces()
        #: id, name and pieces of arguments by the index of the call
        self._calls: dict[int, tuple[list[str], list[str], _Pieces]] = {}

    def take(self, data: bytes) -> None:
        """Take the data of one event in."""
        if data == b"[DONE]":
            return
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, RecursionError):
            return
        said = self._said
        if chunk.error is not None:
            said.error, said.error_type = error_of({"error": chunk.error})
        said.response_id = said.response_id or chunk.id
        said.model = said.model or chunk.model or ""
        said.service_tier = chunk.service_tier or said.service_tier
        if chunk.usage is not None:
            said.usage = chat_usage(chunk.usage) or said.usage
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._choose(choice)

    def _choose(self, choice: _ChunkChoice) -> None:
        self._said.finish_reason = choice.finish_reason or self._said.finish_reason
        if choice.text:
            self._texts.append(choice.text)
        delta = choice.delta
        if delta is None:
            return
        if delta.content:
            self._texts.append(delta.content)
        for call in delta.tool_calls or ():
            ids, names, arguments = self._calls.setdefault(call.index, ([], [], _Pieces()))
            function = call.function or _Function()
            for found, kept in ((call.id, ids), (function.name, names)):
                if found:
                    kept.append(found)
            if function.arguments:
                arguments.append(function.arguments)

    def told(self) -> Told:
        """What the stream said so far."""
        self._said.text = self._texts.joined()
        self._said.tool_calls = tuple(
            ToolCall(
                id=ids[0] if ids else "", name=names[0] if names else "", arguments=parts.joined()
            )
            for _, (ids, names, parts) in sorted(self._calls.items())
        )
        return self._said


class _ResponseEvent(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw(b"null")
    delta: Any = None
    error: Any = None
    message: str | None = None
    code: str | None = None


_decode_response_event = msgspec.json.Decoder(_ResponseEvent).decode
_LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")


class ResponsesStream:
    """Events of the Responses API: the last one holds the whole answer."""

    def __init__(self) -> None:
        self._said = Told()
        self._texts = _Pieces()
        self._is_whole = False

    def take(self, data: bytes) -> None:
        """Take the data of one event in."""
        try:
            event = _decode_response_event(data)
        except (msgspec.DecodeError, RecursionError):
            return
        if event.type == "response.output_text.delta" and isinstance(event.delta, str):
            self._texts.append(event.delta)
        elif event.type == "response.created":
            self._said = told_by(decode_body(RESPONSES, event.response))
            self._said.finish_reason = None
        elif event.type in _LAST:
            self._said, self._is_whole = told_by(decode_body(RESPONSES, event.response)), True
        elif event.type == "error":
            body = event.error or {"message": event.message, "code": event.code}
            self._said.error, self._said.error_type = error_of({"error": body})

    def told(self) -> Told:
        """What the stream said so far."""
        if not self._is_whole:
            self._said.text = self._texts.joined()
        return self._said


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None


class _MessageDelta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
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
        self._said = Told()
        self._usage: dict[str, Any] = {}
        self._texts = _Pieces()
        self._calls: dict[int, tuple[_Block, _Pieces]] = {}

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
            if event.content_block.type.endswith("tool_use"):
                self._calls[event.index] = (event.content_block, _Pieces())
        elif event.type == "message_delta":
            self._merge(event.usage)
            if delta is not None and delta.stop_reason:
                self._said.finish_reason = FINISH.get(delta.stop_reason, delta.stop_reason)
        elif event.type == "error":
            self._said.error, self._said.error_type = error_of({"error": event.error})

    def _grow(self, index: int, delta: _MessageDelta) -> None:
        if delta.text:
            self._texts.append(delta.text)
        if delta.partial_json and index in self._calls:
            self._calls[index][1].append(delta.partial_json)

    def _merge(self, usage: dict[str, Any] | None) -> None:
        for name, value in (usage or {}).items():
            if value is not None:
                self._usage[name] = value

    def told(self) -> Told:
        """What the stream said so far."""
        said = self._said
        said.text = self._texts.joined()
        said.tool_calls = tuple(
            ToolCall(id=block.id or "", name=block.name or "", arguments=parts.joined() or "{}")
            for _, (block, parts) in sorted(self._calls.items())
        )
        # without a last word on its output the call may have cost more than was told
        if said.finish_reason is not None:
            said.usage = _message_usage(self._usage)
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
