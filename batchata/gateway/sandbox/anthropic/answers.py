"""Answers in the shapes of Anthropic."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from batchata.gateway.sandbox.anthropic.checks import documents
from batchata.gateway.sandbox.cited_blocks import cited_blocks
from batchata.gateway.sandbox.drafts import THINKING_TEXT, Draft
from batchata.gateway.wire.anthropic import MessagesRequest

Wire = dict[str, object]


def message_body(
    request: MessagesRequest, made: Draft, *, is_batch: bool, files: Mapping[str, Path]
) -> Wire:
    """Write a message; `files` are the uploads that the request names."""
    refused = made.outcome in ("refusal", "content_filter")
    details = {"type": "refusal", "category": None, "explanation": made.text}
    return {
        "id": f"msg_sandbox_{made.mark}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [] if refused else _content(request, made, files),
        "stop_reason": "refusal" if refused else _stop_reason(made),
        "stop_sequence": None,
        "stop_details": details if refused else None,
        "usage": _usage(request, made, is_batch),
    }


def _stop_reason(made: Draft) -> str:
    if made.is_cut:
        return "max_tokens"
    return "end_turn" if made.tool is None else "tool_use"


def _content(request: MessagesRequest, made: Draft, files: Mapping[str, Path]) -> list[Wire]:
    blocks: list[Wire] = []
    if made.has_thinking:
        signature = f"sandbox-{made.mark}"
        blocks.append({"type": "thinking", "thinking": THINKING_TEXT, "signature": signature})
    if made.tool is None:
        return blocks + _text_blocks(request, made, files)
    call: Wire = {
        "type": "tool_use",
        "id": f"toolu_sandbox_{made.mark}",
        "name": made.tool.name,
        "input": {} if made.is_cut else orjson.loads(made.text),
    }
    return [*blocks, call]


def _text_blocks(request: MessagesRequest, made: Draft, files: Mapping[str, Path]) -> list[Wire]:
    cited = [
        (index, block)
        for index, block in enumerate(documents(request))
        if (block.get("citations") or {}).get("enabled")
    ]
    if not cited:
        return [{"type": "text", "text": made.text, "citations": None}]
    return cited_blocks(made.text, cited, files)


def _usage(request: MessagesRequest, made: Draft, is_batch: bool) -> Wire | None:
    if made.outcome == "usage_null":
        return None
    usage = made.usage
    wire: Wire = {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "batch" if is_batch else "standard",
        "speed": request.speed or "standard",
        "inference_geo": request.inference_geo or "global",
    }
    if made.outcome == "usage_details_null":
        absent = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation")
        wire |= dict.fromkeys((*absent, "output_tokens_details"), None)
        wire["input_tokens"] = usage.input_tokens
    return wire
