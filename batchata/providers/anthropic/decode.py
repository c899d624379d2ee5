"""Anthropic's answers as ours. Pure, and never raises for what a vendor sends."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from batchata.core.bounds import place_factor
from batchata.core.result import Answer, Citation, Failure
from batchata.core.usage import Usage, plausible
from batchata.providers.encoding import json_text
from batchata.providers.surrogates import decoded
from batchata.providers.tolerant import unreadable_answer

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
_T = TypeVar("_T")
_STARTS: Final = ("start_char_index", "start_page_number", "start_block_index")
_ENDS: Final = ("end_char_index", "end_page_number", "end_block_index")


class Creation(msgspec.Struct):
    ephemeral_1h_input_tokens: int | None = 0


class ServerTools(msgspec.Struct):
    web_search_requests: int | None = 0


class OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = 0


class Iteration(msgspec.Struct):
    """One of several passes; only here are the tokens counted that a compaction used."""

    type: str | None = None
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation: Creation | None = None


class MessageUsage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation: Creation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: list[Iteration] | None = None

    @property
    def tier(self) -> str | None:
        """The tier whose prices apply: a fast answer has its own."""
        return self.service_tier if self.speed in (None, "standard") else self.speed


class Message(msgspec.Struct):
    content: list[dict[str, Any]]
    stop_reason: str | None = None
    usage: MessageUsage | None = None
    id: str | None = None
    model: str = ""
    stop_details: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Message).decode


def decode_message(
    body: bytes | msgspec.Raw, *, forced_tool: str | None = None
) -> Answer | Failure:
    """The answer body; the input of a tool named `forced_tool` is the answer's text."""
    try:
        message = decoded(_decode, body, Message)
        return _answer(message, forced_tool)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return unreadable_answer(body, error)


def _answer(message: Message, forced_tool: str | None) -> Answer:
    texts: list[str] = []
    told: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    blocks: list[tuple[str, tuple[Citation, ...]]] = []
    citations: list[Citation] = []
    for block in message.content:
        kind = block.get("type")
        if kind == "text":
            text = _text(block.get("text"))
            texts.append(text)
            cited = _citations(block.get("citations"))
            blocks.append((text, cited))
            citations += cited
        elif kind == "thinking":
            thoughts.append(_text(block.get("thinking")))
        elif kind == "tool_use" and forced_tool and block.get("name") == forced_tool:
            told.append(json_text(block.get("input")))
        elif kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            calls.append(block)
    usage = message.usage
    finish = FINISH.get(message.stop_reason or "", message.stop_reason or "unknown")
    if told:
        texts = told[:1]
        finish = "stop" if finish == "tool_calls" and not calls else finish
    return Answer(
        text="".join(texts),
        finish_reason=finish,
        usage=usage_of(usage),
        model=message.model,
        service_tier=usage.tier if usage else None,
        price_factor=place_factor(usage.inference_geo if usage else None),
        request_id=message.id,
        refusal=_refusal(message) if finish == "refusal" else None,
        thinking="\n".join(thoughts) or None,
        extra={"tool_calls": calls} if calls else None,
        citations=tuple(citations),
        blocks=tuple(blocks) if citations else (),
    )


def _refusal(message: Message) -> str:
    details = message.stop_details or {}
    return str(details.get("explanation") or details.get("category") or "the model refused")


def usage_of(usage: MessageUsage | None) -> Usage | None:
    """Usage with cached tokens inside the input; None when the vendor did not say."""
    if usage is None or usage.input_tokens is None:
        return None
    thinking = searches = 0
    if usage.output_tokens_details is not None:
        thinking = usage.output_tokens_details.thinking_tokens or 0
    if usage.server_tool_use is not None:
        searches = usage.server_tool_use.web_search_requests or 0
    found = _tokens_of(usage, thinking, searches)
    for each in usage.iterations or ():
        if each.type == "compaction":
            found += _tokens_of(each)
    return plausible(found)


def _tokens_of(told: MessageUsage | Iteration, thinking: int = 0, searches: int = 0) -> Usage:
    read = told.cache_read_input_tokens or 0
    write = told.cache_creation_input_tokens or 0
    hour = 0
    if told.cache_creation is not None:
        hour = told.cache_creation.ephemeral_1h_input_tokens or 0
    plain = (told.input_tokens or 0) + read + write
    return Usage(plain, told.output_tokens or 0, read, write, thinking, hour, searches)


def _text(said: Any) -> str:
    if not isinstance(said, str | None):
        raise TypeError(f"a text is {said!r:.60}")
    return said or ""


def _citations(said: Any) -> tuple[Citation, ...]:
    """The citations of a block; one that cannot be read does not cost the answer."""
    if not isinstance(said, list):
        return ()
    return tuple(_citation(each) for each in said if isinstance(each, dict))


def _citation(cited: dict[str, Any]) -> Citation:
    known = ("cited_text", "document_title", "document_index", *_STARTS, *_ENDS)
    return Citation(
        text=_first(cited, ("cited_text",), str) or "",
        source=_first(cited, ("document_title", "title", "source"), str) or "",
        page=_first(cited, ("start_page_number",), int),
        metadata={name: value for name, value in cited.items() if name not in known},
        start=_first(cited, _STARTS, int),
        end=_first(cited, _ENDS, int),
        document_index=_first(cited, ("document_index",), int),
    )


def _first(cited: dict[str, Any], names: tuple[str, ...], kind: type[_T]) -> _T | None:
    """The first value under these names that has the right type and is not empty."""
    values = (cited.get(name) for name in names)
    return next((each for each in values if type(each) is kind and each != ""), None)
