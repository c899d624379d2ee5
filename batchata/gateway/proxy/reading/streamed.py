"""What streamed answers say, gathered event by event."""

from __future__ import annotations

from typing import Any, Final, Protocol

import msgspec

from batchata.core.bounds import place_factor
from batchata.core.thinking import split_thinking
from batchata.gateway.proxy.exchange import CHAT, COMPLETIONS, MESSAGES, RESPONSES
from batchata.gateway.proxy.reading.answer_facts import AnswerFacts, error_of, facts_of_response
from batchata.gateway.proxy.reading.tools import ToolCall, results_of
from batchata.providers.anthropic.decode import FINISH, MessageUsage, usage_of
from batchata.providers.openai.decode import chat_usage
from batchata.providers.openai.wire import ChatUsage

#: characters of an answer that are gathered; a longer one is relayed whole all the same
MOST_TEXT: Final = 4 * 1024 * 1024
_MOST_CHOICES: Final = 128


class StreamReader(Protocol):
    """Takes the data of events in; never raises for what a vendor sends."""

    def take(self, data: bytes) -> None: ...

    def facts(self) -> AnswerFacts: ...


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
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[_ToolDelta] | None = None
    function_call: _Function | None = None


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
        self._said = AnswerFacts()
        #: of each choice
        self._texts: dict[int, _Pieces] = {0: _Pieces()}
        self._thoughts, self._refusals = _Pieces(), _Pieces()
        self._unfinished: set[int] = set()  #: choices that are still being written
        self._is_whole = False
        #: id, name and pieces of arguments by choice and index of the call
        self._calls: dict[tuple[int, int], tuple[list[str], list[str], _Pieces]] = {}

    def take(self, data: bytes) -> None:
        """Take the data of one event in."""
        if data == b"[DONE]":
            self._is_whole = True
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
            self._is_whole = self._is_whole or not chunk.choices
        for choice in chunk.choices or ():
            if choice.finish_reason is None:
                self._unfinished.add(choice.index)
            else:
                self._unfinished.discard(choice.index)
            delta = choice.delta
            text = choice.text or (delta.content if delta is not None else None)
            if text:
                self._text_of(choice.index).append(text)
            if choice.index == 0:
                said.finish_reason = choice.finish_reason or said.finish_reason
            if delta is not None:
                self._grow(choice.index, delta)

    def _text_of(self, index: int) -> _Pieces:
        found = self._texts.get(index)
        return self._texts.setdefault(_kept_apart(index), _Pieces()) if found is None else found

    def _grow(self, choice: int, delta: _Delta) -> None:
        """Add to the tool calls of a choice, and to thoughts and refusal of the first one."""
        thought = delta.reasoning_content or delta.reasoning
        if choice == 0 and isinstance(thought, str):
            self._thoughts.append(thought)
        if choice == 0 and delta.refusal:
            self._refusals.append(delta.refusal)
        for call in delta.tool_calls or ():
            place = _kept_apart(choice), call.index
            self._call(place, call.id, call.function or _Function())
        if delta.function_call is not None:
            self._call((_kept_apart(choice), 0), None, delta.function_call)

    def _call(self, place: tuple[int, int], call_id: str | None, function: _Function) -> None:
        ids, names, arguments = self._calls.setdefault(place, ([], [], _Pieces()))
        for found, kept in ((call_id, ids), (function.name, names)):
            if found:
                kept.append(found)
        if function.arguments:
            arguments.append(function.arguments)

    def facts(self) -> AnswerFacts:
        """What the stream said so far."""
        said = self._said
        if self._unfinished and not self._is_whole:
            said.usage = None  # some servers count along: the last word is not there
        text, thinking = split_thinking(self._texts[0].joined())
        said.text, said.thinking = text, self._thoughts.joined() or thinking
        last = max([*self._texts, *[choice for choice, _ in self._calls]])
        texts = [self._texts.get(index, _Pieces()).joined() for index in range(1, last + 1)]
        said.choices = tuple([split_thinking(each)[0] for each in texts])
        if refusal := self._refusals.joined():
            said.refusal, said.finish_reason = refusal, "refusal"
        said.tool_calls = tuple(
            ToolCall(
                id=(ids or names or [""])[0],
                name=names[0] if names else "",
                arguments=parts.joined(),
                choice=choice,
            )
            for (choice, _), (ids, names, parts) in sorted(self._calls.items())
        )
        return said


def _kept_apart(index: int) -> int:
    """Which choice it is: what is beyond the most that a vendor gives is not kept apart."""
    return max(0, min(index, _MOST_CHOICES))


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
        self._said = AnswerFacts()
        self._texts, self._thoughts, self._refusals = _Pieces(), _Pieces(), _Pieces()
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
            self._said = facts_of_response(bytes(event.response))
            self._said.finish_reason = None
        elif event.type in _LAST:
            self._said, self._is_whole = facts_of_response(bytes(event.response)), True
        elif event.type == "error":
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
        self._texts, self._thoughts = _Pieces(), _Pieces()
        self._calls: dict[int, tuple[_Block, _Pieces]] = {}
        self._results: list[_Block] = []

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
            if delta is not None and delta.stop_reason:
                self._said.finish_reason = FINISH.get(delta.stop_reason, delta.stop_reason)
        elif event.type == "error":
            self._said.error, self._said.error_type = error_of({"error": event.error})

    def _begin(self, index: int, block: _Block) -> None:
        if block.type.endswith("tool_use"):
            self._calls[index] = (block, _Pieces())
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
            ToolCall(id=block.id or "", name=block.name or "", arguments=parts.joined() or "{}")
            for _, (block, parts) in sorted(self._calls.items())
        )
        # without a last word on its output the call may have cost more than was told
        if said.finish_reason is not None:
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
