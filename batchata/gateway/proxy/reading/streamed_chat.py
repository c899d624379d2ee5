"""What streamed chat completions say, gathered event by event."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from batchata.core.thinking import split_thinking
from batchata.gateway.proxy.exchange import AnswerFacts
from batchata.gateway.proxy.reading.answer_facts import error_of, thoughts_in
from batchata.gateway.proxy.reading.pieces import Pieces
from batchata.gateway.proxy.reading.tools import ToolCall
from batchata.providers.openai.decode import chat_usage, text_of
from batchata.providers.openai.wire import ChatUsage

_MOST_CHOICES: Final = 128


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: Any = None
    input: str | None = None  #: of a tool that takes text


class _ToolDelta(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    custom: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: list[_ToolDelta] | None = None
    function_call: _Function | None = None


class _ChunkChoice(msgspec.Struct):
    index: int | None = None
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Groq(msgspec.Struct):
    usage: ChatUsage | None = None
    error: Any = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_ChunkChoice] | None = None
    usage: ChatUsage | None = None
    service_tier: str | None = None
    error: Any = None
    object: str | None = None
    x_groq: _Groq | None = None  #: where Groq reports what others put beside it


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class ChatStream:
    """Chunks of chat completions, and of the older completions."""

    def __init__(self) -> None:
        self._said = AnswerFacts()
        #: of each choice
        self._texts: dict[int, Pieces] = {0: Pieces()}
        self._thoughts, self._refusals = Pieces(), Pieces()
        self._unfinished: set[int] = set()  #: choices that are still being written
        self._is_whole = False
        #: id, name and pieces of arguments by choice, index of the call, and which of that index
        self._calls: dict[tuple[int, int, int], tuple[list[str], list[str], Pieces]] = {}
        self._nth: dict[tuple[int, int], int] = {}

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
        if chunk.x_groq is not None:
            chunk.usage = chunk.usage or chunk.x_groq.usage
            chunk.error = chunk.error or chunk.x_groq.error
        if chunk.error is not None:
            said.error, said.error_type = error_of({"error": chunk.error})
        elif chunk.object == "error":  # vLLM's, as it stands
            said.error, said.error_type = error_of(orjson.loads(data))
        said.response_id = said.response_id or chunk.id
        said.model = said.model or chunk.model or ""
        said.service_tier = chunk.service_tier or said.service_tier
        if chunk.usage is not None:
            said.usage = chat_usage(chunk.usage) or said.usage
            self._is_whole = self._is_whole or not chunk.choices
        for choice in chunk.choices or ():
            self._take_choice(choice, choice.index or 0)

    def _take_choice(self, choice: _ChunkChoice, index: int) -> None:
        if choice.finish_reason is None:
            self._unfinished.add(index)
        else:
            self._unfinished.discard(index)
        delta = choice.delta
        text = choice.text or (delta.content if delta is not None else None)
        if text:
            self._text_of(index).append(text if isinstance(text, str) else text_of(text))
        if index == 0:
            self._said.finish_reason = choice.finish_reason or self._said.finish_reason
        if delta is not None:
            self._grow(index, delta)

    def _text_of(self, index: int) -> Pieces:
        found = self._texts.get(index)
        return self._texts.setdefault(_kept_apart(index), Pieces()) if found is None else found

    def _grow(self, choice: int, delta: _Delta) -> None:
        """Add to the tool calls of a choice, and to thoughts and refusal of the first one."""
        thought = delta.reasoning_content or delta.reasoning
        if choice == 0 and isinstance(thought, str):
            self._thoughts.append(thought)
        if choice == 0 and delta.refusal:
            self._refusals.append(delta.refusal)
        if choice == 0 and isinstance(delta.content, list):  # Mistral's, beside its text
            self._thoughts.append(thoughts_in(delta.content))
        for call in delta.tool_calls or ():
            place = _kept_apart(choice), call.index or 0
            self._call(place, call.id, call.function or call.custom or _Function())
        if delta.function_call is not None:
            self._call((_kept_apart(choice), 0), None, delta.function_call)

    def _call(self, place: tuple[int, int], call_id: str | None, function: _Function) -> None:
        nth = self._nth.get(place, 0)
        known = self._calls.get((*place, nth))
        if known is not None and function.name and call_id and known[0] and call_id != known[0][0]:
            nth = self._nth[place] = nth + 1  # Gemini has all of them under index 0
        ids, names, arguments = self._calls.setdefault((*place, nth), ([], [], Pieces()))
        for found, kept in ((call_id, ids), (function.name, names)):
            if found:
                kept.append(found)
        asked = function.arguments or function.input
        if asked:
            arguments.append(asked if isinstance(asked, str) else orjson.dumps(asked).decode())

    def facts(self) -> AnswerFacts:
        """What the stream has said so far."""
        said = self._said
        if self._unfinished and not self._is_whole:
            said.usage = None  # some servers count as they go: the final count is missing
        text, thinking = split_thinking(self._texts[0].joined())
        said.text, said.thinking = text, self._thoughts.joined() or thinking
        last = max([*self._texts, *[choice for choice, *_ in self._calls]])
        texts = [self._texts.get(index, Pieces()).joined() for index in range(1, last + 1)]
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
            for (choice, *_), (ids, names, parts) in sorted(self._calls.items())
        )
        return said


def _kept_apart(index: int) -> int:
    """The number of a choice; those beyond the most that a vendor gives share one."""
    return max(0, min(index, _MOST_CHOICES))
