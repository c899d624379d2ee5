"""What Anthropic refuses in a model request."""

import re
from collections.abc import Iterator
from typing import Any, Final

from batchata.gateway.sandbox.schema_rules import anthropic_fault
from batchata.gateway.wire.anthropic import MESSAGES, MessagesRequest
from batchata.gateway.wire.errors import invalid, not_found
from batchata.gateway.wire.reading import read_anthropic

VERSIONS: Final = frozenset({"2023-01-01", "2023-06-01", "2026-10-21"})
NO_SAMPLING: Final = "2026-10-21"
PREFILLED: Final = re.compile(r"claude-(2|3|(opus|sonnet|haiku)-4-[0-5])")
FIXED_SAMPLING: Final = re.compile(r"claude-opus-(4-[7-9]|[5-9])")
MAX_MESSAGES: Final = 100_000
MIN_THINKING: Final = 1_024
#: the last models that take a thinking budget
BUDGETED: Final = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)")
MAX_BREAKPOINTS: Final = 4


def check_version(version: str) -> None:
    """Refuse a missing or unknown `anthropic-version`."""
    if not version:
        raise invalid("anthropic-version: header is required")
    if version not in VERSIONS:
        raise invalid(f'anthropic-version: "{version}" is not a valid version')


def read_request(
    body: bytes, *, version: str, prefixes: tuple[str, ...], is_batch: bool = False
) -> MessagesRequest:
    """Decode and check the body of a messages request, or `params` of a batch item."""
    request = read_anthropic(MESSAGES, body)
    check_model(request.model, prefixes)
    _check_limits(request)
    _check_sampling(request, version)
    if is_batch:
        _check_batch(request)
    if request.thinking is not None:
        _check_thinking(request)
    _check_content(request)
    _check_texts(request)
    _check_breakpoints(request, body)
    return request


def check_model(model: str, prefixes: tuple[str, ...]) -> None:
    """Refuse a model that does not exist."""
    if not model.startswith(prefixes) or model.startswith(("gpt-", "text-embedding-")):
        raise not_found(f"model: {model}")


def _check_limits(request: MessagesRequest) -> None:
    if request.max_tokens < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if not request.messages:
        raise invalid("messages: at least one message is required")
    if len(request.messages) > MAX_MESSAGES:
        raise invalid(f"messages: too many messages, the limit is {MAX_MESSAGES}")
    if request.messages[-1].role == "assistant" and not PREFILLED.match(request.model):
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )


def _check_sampling(request: MessagesRequest, version: str) -> None:
    given = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
    }
    for name, value in given.items():
        if value is not None and version >= NO_SAMPLING:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if value is not None and value != 1 and FIXED_SAMPLING.match(request.model):
            raise invalid(f"{name}: this model takes only the default")
    if request.temperature is not None and not 0 <= request.temperature <= 1:
        raise invalid("temperature: range: 0..1")
    if version >= NO_SAMPLING:
        _check_blocks(request)


def _check_blocks(request: MessagesRequest) -> None:
    for message in request.messages:
        for block in message.content if isinstance(message.content, list) else ():
            kind = block.get("type")
            if message.role == "assistant" and kind == "document":
                raise invalid("messages: document blocks are not permitted in assistant messages")
            if message.role == "user" and kind == "text" and block.get("citations"):
                raise invalid("messages: text blocks in user messages may not have citations")


def _check_batch(request: MessagesRequest) -> None:
    if request.stream:
        raise invalid("stream: streaming is not supported in message batches")
    if request.speed == "fast":
        raise invalid("speed: fast mode is not supported in message batches")


def _check_thinking(request: MessagesRequest) -> None:
    thinking = request.thinking or {}
    if thinking.get("type") != "enabled":
        return
    if not BUDGETED.match(request.model):
        raise invalid("thinking.type.enabled: not supported by this model, use adaptive")
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < MIN_THINKING:
        raise invalid(
            f"thinking.enabled.budget_tokens: Input should be greater than or equal to "
            f"{MIN_THINKING}"
        )
    if budget >= request.max_tokens:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")


def _check_content(request: MessagesRequest) -> None:
    output = request.output_config.format if request.output_config else None
    if output is not None and (problem := anthropic_fault(bytes(output.schema))):
        raise invalid(f"output_config.format.schema: {problem}")
    cited = [_is_cited(block) for block in documents(request)]
    if any(cited) and not all(cited):
        raise invalid("citations: must be enabled for all documents or for none of them")
    if any(cited) and output is not None:
        raise invalid("citations: cannot be used together with output_config.format")
    _check_tool_choice(request)


def _check_texts(request: MessagesRequest) -> None:
    for number, message in enumerate(request.messages):
        is_last = number == len(request.messages) - 1
        if not message.content and not (is_last and message.role == "assistant"):
            raise invalid(
                f"messages.{number}: all messages must have non-empty content except for the "
                "optional final assistant message"
            )
        for block in message.content if isinstance(message.content, list) else ():
            if block.get("type") == "text" and not block.get("text"):
                raise invalid("messages: text content blocks must be non-empty")


def _check_breakpoints(request: MessagesRequest, body: bytes) -> None:
    if b"cache_control" not in body:
        return
    contents = (request.tools, request.system, *(each.content for each in request.messages))
    blocks = (block for content in contents if isinstance(content, list) for block in content)
    found = sum(1 for block in blocks if block.get("cache_control"))
    if found > MAX_BREAKPOINTS:
        raise invalid(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. "
            f"Found {found}."
        )


def _check_tool_choice(request: MessagesRequest) -> None:
    choice = request.tool_choice or {}
    names = [tool.get("name") for tool in request.tools or ()]
    if choice.get("type") == "tool" and choice.get("name") not in names:
        raise invalid(f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools")
    if choice.get("type") in ("any", "tool", "auto") and not names:
        raise invalid("tool_choice: may only be specified while providing tools")


def documents(request: MessagesRequest) -> Iterator[dict[str, Any]]:
    """List the document blocks of a request in order."""
    for message in request.messages:
        if not isinstance(message.content, str):
            yield from (block for block in message.content if block.get("type") == "document")


def _is_cited(block: dict[str, Any]) -> bool:
    citations = block.get("citations")
    return isinstance(citations, dict) and bool(citations.get("enabled"))
