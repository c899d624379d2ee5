"""Input tokens of a request: a quarter of its text's bytes, never more than the bytes."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from batchata.gateway.wire.anthropic import CountTokensRequest, MessagesRequest
from batchata.gateway.wire.openai import ChatRequest, EmbeddingsRequest, ResponsesRequest

MEDIA_TOKENS: Final = 1_500  #: most that one image or file part counts for
TEXT_KEYS: Final = frozenset({"text", "content", "arguments", "output", "thinking"})


def input_tokens(
    request: ChatRequest
    | ResponsesRequest
    | EmbeddingsRequest
    | MessagesRequest
    | CountTokensRequest,
) -> int:
    """Count what a vendor would call the input tokens."""
    match request:
        case ChatRequest():
            total = sum(_content(message.content) for message in request.messages)
            total += _tools(request.tools)
            if request.response_format and request.response_format.json_schema:
                total += len(bytes(request.response_format.json_schema.schema)) // 4
        case ResponsesRequest():
            total = _content(request.input) + _content(request.instructions)
            total += _tools(request.tools)
            if request.text and request.text.format:
                total += len(bytes(request.text.format.schema)) // 4
        case EmbeddingsRequest():
            return sum(embedding_tokens(request))
        case _:
            total = sum(_content(message.content) for message in request.messages)
            total += _content(request.system) + _tools(request.tools)
            if request.output_config and request.output_config.format:
                total += len(bytes(request.output_config.format.schema)) // 4
    return total


def embedding_tokens(request: EmbeddingsRequest) -> list[int]:
    """Count the tokens of each input of an embeddings request."""
    return [_text(row) if isinstance(row, str) else len(row) for row in embedding_inputs(request)]


def embedding_inputs(request: EmbeddingsRequest) -> list[str | list[int]]:
    """List the inputs of an embeddings request, each a text or its tokens."""
    data = request.input
    if isinstance(data, str):
        return [data]
    tokens = [item for item in data if isinstance(item, int)]
    if tokens:
        return [tokens]
    return [item for item in data if not isinstance(item, int)]


def _text(text: str) -> int:
    size = len(text) if text.isascii() else len(text.encode())
    return (size + 3) // 4


def _content(content: str | list[dict[str, Any]] | None) -> int:
    if content is None:
        return 0
    if isinstance(content, str):
        return _text(content)
    return sum(_part(part) for part in content)


def _part(part: dict[str, Any]) -> int:
    total = 0
    for key, value in part.items():
        if isinstance(value, str):
            total += _text(value) if key in TEXT_KEYS else 0
        elif key == "content" and isinstance(value, list):
            total += _content(_dicts(value))
        elif isinstance(value, dict):
            total += _media(value)
    return total


def _media(value: dict[str, Any]) -> int:
    if value.get("type") == "text":
        return _text(str(value.get("data", "")))
    size = sum(len(item) for item in value.values() if isinstance(item, str))
    return min(MEDIA_TOKENS, size // 4)


def _dicts(values: Iterable[object]) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)]


def _tools(tools: list[dict[str, Any]] | None) -> int:
    return len(orjson.dumps(tools)) // 4 if tools else 0
