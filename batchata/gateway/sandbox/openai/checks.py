"""What OpenAI refuses in a model request."""

import re
from collections.abc import Iterable
from typing import Final

import orjson

from batchata.gateway.sandbox.schema_rules import openai_fault
from batchata.gateway.wire.batches import check_metadata
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid
from batchata.gateway.wire.openai import (
    CHAT,
    EMBEDDINGS,
    RESPONSES,
    ChatRequest,
    EmbeddingsRequest,
    ResponseFormat,
    ResponsesRequest,
    TextFormat,
)
from batchata.gateway.wire.reading import read_openai

OpenAIRequest = ChatRequest | ResponsesRequest | EmbeddingsRequest

REASONING: Final = re.compile(r"(gpt-[5-9]|o\d)")
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_request(
    endpoint: str, body: bytes, prefixes: tuple[str, ...], extra_fields: tuple[str, ...] = ()
) -> OpenAIRequest:
    """Decode and check the body of a model request, in which `extra_fields` are ignored."""
    request: OpenAIRequest
    match endpoint:
        case "/v1/chat/completions":
            request = read_openai(CHAT, _without(body, extra_fields))
            check_model(request.model, prefixes)
            _check_chat(request, body)
        case "/v1/responses":
            request = read_openai(RESPONSES, body)
            check_model(request.model, prefixes)
            _check_responses(request, body)
        case _:
            request = read_openai(EMBEDDINGS, body)
            check_model(request.model, prefixes)
            if not request.input:
                raise invalid("'$.input' is invalid. Please check the API reference.")
    return request


def _without(body: bytes, names: tuple[str, ...]) -> bytes:
    if not names or not any(f'"{name}"'.encode() in body for name in names):
        return body
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(fields, dict):
        return body
    return orjson.dumps({name: value for name, value in fields.items() if name not in names})


def check_model(model: str, prefixes: tuple[str, ...]) -> None:
    """Refuse a model that does not exist."""
    if not model.startswith(prefixes) or model.startswith("claude-"):
        message = f"The model `{model}` does not exist or you do not have access to it."
        raise RefusedError(VendorError(status=404, message=message, code="model_not_found"))


def _check_chat(request: ChatRequest, body: bytes) -> None:
    if not request.messages:
        raise invalid(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got "
            "an empty array instead.",
            param="messages",
            code="empty_array",
        )
    for number, message in enumerate(request.messages):
        if message.content is None and message.role != "assistant":
            raise invalid(
                f"Missing required parameter: 'messages[{number}].content'.",
                param=f"messages[{number}].content",
                code="missing_required_parameter",
            )
    if request.max_tokens is not None and REASONING.match(request.model):
        raise invalid(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    _check_ranges(
        ("max_tokens", request.max_tokens, 1, None),
        ("max_completion_tokens", request.max_completion_tokens, 1, None),
        ("n", request.n, 1, 128),
        ("temperature", request.temperature, 0, 2),
        ("top_p", request.top_p, 0, 1),
    )
    check_metadata(request.metadata)
    if request.response_format is not None:
        _check_response_format(request.response_format, body)


def _check_response_format(response_format: ResponseFormat, body: bytes) -> None:
    schema = response_format.json_schema
    if response_format.type == "json_object":
        _check_says_json(body, "response_format", "messages")
    if response_format.type != "json_schema":
        return
    if schema is None:
        raise invalid(
            "Missing required parameter: 'response_format.json_schema'.",
            param="response_format.json_schema",
            code="missing_required_parameter",
        )
    _check_schema(schema.name, bytes(schema.schema), schema.strict, "response_format")


def _check_responses(request: ResponsesRequest, body: bytes) -> None:
    _check_ranges(
        ("max_output_tokens", request.max_output_tokens, 16, None),
        ("temperature", request.temperature, 0, 2),
        ("top_p", request.top_p, 0, 1),
    )
    check_metadata(request.metadata)
    if request.text is None or request.text.format is None:
        return
    text: TextFormat = request.text.format
    if text.type == "json_object":
        _check_says_json(body, "text.format", "input")
    if text.type == "json_schema":
        _check_schema(text.name, bytes(text.schema), text.strict, "text.format")


def _check_schema(name: str, schema: bytes, strict: bool | None, where: str) -> None:
    param = f"{where}.json_schema" if where == "response_format" else where
    if not NAME.fullmatch(name):
        raise invalid(
            f"Invalid '{param}.name': string does not match pattern. Expected a string that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'.",
            param=f"{param}.name",
            code="invalid_value",
        )
    if strict and (problem := openai_fault(schema)):
        raise invalid(
            f"Invalid schema for response_format '{name}': {problem}",
            param=where if where == "response_format" else f"{where}.schema",
            code="invalid_json_schema",
        )


def _check_says_json(body: bytes, where: str, source: str) -> None:
    if body.lower().count(b"json") < 2:  # once in json_object itself
        raise invalid(
            f"'{source}' must contain the word 'json' in some form, to use '{where}' of type "
            "'json_object'.",
            param=source,
        )


Range = tuple[str, float | None, float, float | None]


def _check_ranges(*ranges: Range) -> None:
    for name, value, low, high in _given(ranges):
        if value < low:
            raise invalid(
                f"Invalid '{name}': below minimum value. Expected a value >= {low}, but got "
                f"{value} instead.",
                param=name,
                code="integer_below_min_value",
            )
        if high is not None and value > high:
            raise invalid(
                f"Invalid '{name}': above maximum value. Expected a value <= {high}, but got "
                f"{value} instead.",
                param=name,
                code="integer_above_max_value",
            )


def _given(ranges: Iterable[Range]) -> Iterable[tuple[str, float, float, float | None]]:
    return ((n, value, low, high) for n, value, low, high in ranges if value is not None)
