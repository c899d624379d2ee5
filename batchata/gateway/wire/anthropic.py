"""Request bodies of the Anthropic endpoints; an unknown field does not decode."""

from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct


class Message(Struct, forbid_unknown_fields=True):
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class OutputFormat(Struct, forbid_unknown_fields=True):
    """The `output_config.format` of a request."""

    type: Literal["json_schema"]
    schema: Raw


class OutputConfig(Struct, forbid_unknown_fields=True):
    """The `output_config` of a request."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class MessagesRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/messages`, and `params` of a batch item."""

    model: str
    max_tokens: int
    messages: list[Message]
    system: str | list[dict[str, Any]] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    cache_control: dict[str, Any] | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    speed: Literal["standard", "fast"] | None = None
    inference_geo: str | None = None
    metadata: dict[str, Any] | None = None
    container: Any = None
    mcp_servers: Any = None
    context_management: Any = None
    diagnostics: Any = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class CountTokensRequest(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/messages/count_tokens`."""

    model: str
    messages: list[Message]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    cache_control: dict[str, Any] | None = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class BatchRequest(Struct, forbid_unknown_fields=True):
    """One item of a message batch, its params not checked yet."""

    custom_id: str
    params: Raw


class BatchCreate(Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/messages/batches`."""

    requests: list[BatchRequest]
    user_profile_id: str | None = None
    workspace_id: str | None = None


MESSAGES = msgspec.json.Decoder(MessagesRequest)
COUNT_TOKENS = msgspec.json.Decoder(CountTokensRequest)
BATCH_CREATE = msgspec.json.Decoder(BatchCreate)
BATCH_REQUEST = msgspec.json.Decoder(BatchRequest)
