"""Answers in the shapes of Anthropic."""

from typing import Any

import orjson

from batchata.gateway.anthropic_checks import documents
from batchata.gateway.drafts import THINKING_TEXT, Draft
from batchata.gateway.wire_anthropic import MessagesRequest

Wire = dict[str, object]


def message_body(request: MessagesRequest, made: Draft, *, is_batch: bool) -> Wire:
    """Write a message."""
    refused = made.outcome in ("refusal", "content_filter")
    details = {"type": "refusal", "category": None, "explanation": made.text}
    return {
        "id": f"msg_sandbox_{made.mark}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [] if refused else _content(request, made),
        "stop_reason": "refusal" if refused else _stop_reason(made),
        "stop_sequence": None,
        "stop_details": details if refused else None,
        "usage": _usage(made, is_batch),
    }


def _stop_reason(made: Draft) -> str:
    if made.is_cut:
        return "max_tokens"
    return "end_turn" if made.tool is None else "tool_use"


def _content(request: MessagesRequest, made: Draft) -> list[Wire]:
    blocks: list[Wire] = []
    if made.has_thinking:
        signature = f"sandbox-{made.mark}"
        blocks.append({"type": "thinking", "thinking": THINKING_TEXT, "signature": signature})
    if made.tool is None:
        return blocks + _text_blocks(request, made)
    call: Wire = {
        "type": "tool_use",
        "id": f"toolu_sandbox_{made.mark}",
        "name": made.tool.name,
        "input": {} if made.is_cut else orjson.loads(made.text),
    }
    return [*blocks, call]


def _text_blocks(request: MessagesRequest, made: Draft) -> list[Wire]:
    cited = [
        (index, block)
        for index, block in enumerate(documents(request))
        if (block.get("citations") or {}).get("enabled")
    ]
    if not cited:
        return [{"type": "text", "text": made.text, "citations": None}]
    start, _, rest = made.text.partition(": ")
    plain: Wire = {"type": "text", "text": f"{start}: ", "citations": None}
    citations = [_citation(index, block) for index, block in cited]
    return [plain, {"type": "text", "text": rest, "citations": citations}]


def _citation(index: int, block: dict[str, Any]) -> Wire:
    source = block.get("source") or {}
    where: Wire = {
        "document_index": index,
        "document_title": block.get("title"),
        "file_id": source.get("file_id"),
    }
    match source.get("type"):
        case "text":
            cited = str(source.get("data", ""))[:60]
            place: Wire = {"start_char_index": 0, "end_char_index": len(cited)}
            return {"type": "char_location", "cited_text": cited, **where, **place}
        case "content":
            place = {"start_block_index": 0, "end_block_index": 1}
            cited = "scripted citation"
            return {"type": "content_block_location", "cited_text": cited, **where, **place}
        case _:
            place = {"start_page_number": 1, "end_page_number": 2}
            cited = "scripted citation"
            return {"type": "page_location", "cited_text": cited, **where, **place}


def _usage(made: Draft, is_batch: bool) -> Wire | None:
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
    }
    if made.outcome == "usage_details_null":
        absent = ("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation")
        wire |= dict.fromkeys((*absent, "output_tokens_details"), None)
        wire["input_tokens"] = usage.input_tokens
    return wire
