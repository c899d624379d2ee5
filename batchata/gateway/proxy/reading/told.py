"""What an answer says of itself: text, tools, usage, errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import orjson

from batchata.core.result import Answer, Failure
from batchata.core.usage import Usage
from batchata.gateway.proxy.exchange import (
    COMPLETIONS,
    MESSAGES,
    MODEL_ENDPOINTS,
    RESPONSES,
    Answered,
)
from batchata.gateway.proxy.reading.tools import ToolCall, ToolResult, results_of, tool_call
from batchata.providers.anthropic.decode import decode_message
from batchata.providers.openai.decode import chat_usage, decode_body
from batchata.providers.openai.wire import ChatUsage

#: what came of tools that a vendor ran is among its items, or blocks
_RESULTS: Final = re.compile(
    rb'"(?:\w+_call_output|(?:mcp|code_interpreter|file_search|web_search|image_generation)_call)"'
)


class Told(msgspec.Struct):
    """The parts of an answer that sessions, prices and events need."""

    usage: Usage | None = None
    model: str = ""
    text: str = ""
    choices: tuple[str, ...] = ()
    thinking: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    price_factor: Decimal = Decimal(1)  #: for where it was made
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    error: str | None = None
    error_type: str | None = None

    def put_into(self, answered: Answered) -> None:
        """Have an answer say this; an error that it has already stands."""
        answered.usage = self.usage
        answered.model = self.model
        answered.text = self.text
        answered.choices = self.choices
        answered.thinking = self.thinking
        answered.refusal = self.refusal
        answered.finish_reason = self.finish_reason
        answered.response_id = self.response_id
        answered.service_tier = self.service_tier
        answered.price_factor = self.price_factor
        answered.tool_calls = self.tool_calls
        answered.tool_results = self.tool_results
        answered.error = answered.error or self.error
        answered.error_type = answered.error_type or self.error_type


class _CompletionChoice(msgspec.Struct):
    text: str | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct):
    choices: list[_CompletionChoice] = []
    usage: ChatUsage | None = None
    id: str | None = None
    model: str = ""


_decode_completion = msgspec.json.Decoder(_Completion).decode


def told_whole(endpoint: str | None, status: int, body: bytes) -> Told:
    """What a whole body says; never raises for what a vendor sends."""
    if status >= 400:
        return _refusal(status, body)
    if endpoint not in MODEL_ENDPOINTS:
        return Told()
    if endpoint == MESSAGES:
        return told_message(body)
    if endpoint == COMPLETIONS:
        return _completion(body)
    if endpoint == RESPONSES:
        return told_response(body)
    return told_by(decode_body(endpoint, body))


def told_by(found: Answer | Failure) -> Told:
    """A decoded answer as what it says."""
    if isinstance(found, Failure):
        return Told(error=found.message, error_type=found.reason)
    extra = found.extra or {}
    return Told(
        usage=found.usage,
        model=found.model,
        text=found.text,
        choices=tuple([str(each.get("text") or "") for each in extra.get("choices", ())[1:]]),
        thinking=found.thinking,
        refusal=found.refusal,
        finish_reason=found.finish_reason,
        response_id=found.request_id,
        service_tier=found.service_tier,
        price_factor=found.price_factor,
        tool_calls=tuple(map(tool_call, extra.get("tool_calls") or ())),
    )


def told_message(body: bytes) -> Told:
    """What an answer of the messages API says."""
    told = told_by(decode_message(body))
    if b'tool_result"' in body:
        told.tool_results = _results(body, "content")
    return told


def told_response(body: bytes) -> Told:
    """What an answer of the responses API says."""
    told = told_by(decode_body(RESPONSES, body))
    if told.tool_calls and _RESULTS.search(body):
        told.tool_results = _results(body, "output")
    return told


def _results(body: bytes, place: str) -> tuple[ToolResult, ...]:
    """Of tools that the vendor itself ran."""
    try:
        return tuple(results_of(orjson.loads(body)[place]))
    except (ValueError, KeyError, TypeError):
        return ()


def error_of(body: Any) -> tuple[str, str | None]:
    """Message and type of a vendor's error body."""
    error = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(error, Mapping):
        kind = error.get("type") or error.get("code")
        return str(error.get("message") or "error"), None if kind is None else str(kind)
    return str(error or body)[:500], None


def _refusal(status: int, body: bytes) -> Told:
    try:
        message, kind = error_of(orjson.loads(body))
    except ValueError:
        message, kind = body[:500].decode("utf-8", "replace") or f"status {status}", None
    return Told(error=message, error_type=kind)


def _completion(body: bytes) -> Told:
    try:
        found = _decode_completion(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return Told(error=f"the answer cannot be read: {error}", error_type="unreadable")
    choice = found.choices[0] if found.choices else _CompletionChoice()
    return Told(
        usage=chat_usage(found.usage),
        model=found.model,
        text=choice.text or "",
        finish_reason=choice.finish_reason,
        response_id=found.id,
    )
