"""Request bodies of the OpenAI endpoints; an unknown field does not decode."""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

Metadata = dict[str, str]


class ChatMessage(Struct, forbid_unknown_fields=True):
    """One message of a chat request."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    refusal: str | None = None
    annotations: Any = None  #: from an answer that a client sends back
    audio: Any = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: Any = None


class JsonSchema(Struct, forbid_unknown_fields=True):
    """The schema part of a chat `response_format`."""

    name: str
    schema: Raw = Raw(b"{}")
    strict: bool | None = None
    description: str | None = None


class ResponseFormat(Struct, forbid_unknown_fields=True):
    """A chat `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/chat/completions`."""

    model: str
    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    audio: Any = None
    modalities: list[str] | None = None
    moderation: Any = None
    prediction: Any = None
    web_search_options: Any = None
    functions: list[dict[str, Any]] | None = None
    function_call: Any = None


class TextFormat(Struct, forbid_unknown_fields=True):
    """The `text.format` of a responses request."""

    type: Literal["text", "json_object", "json_schema"]
    name: str = ""
    schema: Raw = Raw(b"{}")
    strict: bool | None = None
    description: str | None = None


class TextConfig(Struct, forbid_unknown_fields=True):
    """The `text` of a responses request."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/responses`."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    text: TextConfig | None = None
    reasoning: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    background: bool | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    truncation: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    include: list[str] | None = None
    prompt: Any = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    top_logprobs: int | None = None
    user: str | None = None
    access_programs: Any = None
    context_management: Any = None
    image: Any = None
    moderation: Any = None


class EmbeddingsRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/embeddings`."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class ExpiresAfter(Struct, forbid_unknown_fields=True):
    """When a file expires."""

    anchor: Literal["created_at"]
    seconds: int


class BatchCreate(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchLine(Struct, forbid_unknown_fields=True):
    """One line of an input file, its body not checked yet."""

    custom_id: str
    method: str
    url: str
    body: Raw


CHAT = msgspec.json.Decoder(ChatRequest)
RESPONSES = msgspec.json.Decoder(ResponsesRequest)
EMBEDDINGS = msgspec.json.Decoder(EmbeddingsRequest)
BATCH_CREATE = msgspec.json.Decoder(BatchCreate)
BATCH_LINE = msgspec.json.Decoder(BatchLine)
