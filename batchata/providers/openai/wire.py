"""The few fields of OpenAI's answers that are read, as structs; unknown ones are skipped."""

from __future__ import annotations

from typing import Any

import msgspec


class InputDetails(msgspec.Struct):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    audio_tokens: int | None = 0


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int | None = 0
    audio_tokens: int | None = 0


class ChatUsage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    total_tokens: int | None = 0
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None


class ChatMessage(msgspec.Struct):
    content: Any = None
    refusal: str | None = None
    tool_calls: Any = None
    function_call: Any = None  #: of the years before `tool_calls`, and of some servers still
    reasoning: Any = None
    reasoning_content: Any = None


class Choice(msgspec.Struct):
    message: ChatMessage
    index: Any = None
    finish_reason: str | None = None
    logprobs: Any = None


class Chat(msgspec.Struct):
    choices: list[Choice]
    usage: ChatUsage | None = None
    id: str | None = None
    model: str = ""
    service_tier: str | None = None


class ResponseUsage(msgspec.Struct):
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    total_tokens: int | None = 0
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Searches(msgspec.Struct):
    num_requests: int | None = None


class ToolUsage(msgspec.Struct):
    web_search: Searches | None = None


class Response(msgspec.Struct):
    status: str | None = None
    output: list[dict[str, Any]] = []
    usage: ResponseUsage | None = None
    id: str | None = None
    model: str = ""
    service_tier: str | None = None
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None
    tool_usage: ToolUsage | None = None


class Embeddings(msgspec.Struct):
    data: list[dict[str, Any]]
    usage: ChatUsage | None = None
    model: str = ""


class LineResponse(msgspec.Struct):
    status_code: int
    body: msgspec.Raw
    request_id: str | None = None


class Line(msgspec.Struct):
    custom_id: str
    response: LineResponse | None = None
    error: dict[str, Any] | None = None


decode_line = msgspec.json.Decoder(Line).decode
decode_chat = msgspec.json.Decoder(Chat).decode
decode_response = msgspec.json.Decoder(Response).decode
decode_embeddings = msgspec.json.Decoder(Embeddings).decode
