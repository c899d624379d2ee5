"""Answers in the shapes of OpenAI."""

import base64
from array import array
from typing import Final

from batchata.gateway.sandbox.drafts import THINKING_TEXT, Draft
from batchata.gateway.sandbox.input_tokens import embedding_inputs, embedding_tokens
from batchata.gateway.sandbox.script import digest
from batchata.gateway.wire.batches import usage_object
from batchata.gateway.wire.openai import ChatRequest, EmbeddingsRequest, ResponsesRequest
from batchata.gateway.wire.vendors import TokenUsage

FINGERPRINT: Final = "sandbox"
DIMENSIONS: Final = 16  #: of an embedding, unless its request names some
Wire = dict[str, object]


def chat_body(request: ChatRequest, made: Draft, created: int) -> Wire:
    """Write a chat completion."""
    return {
        "id": f"chatcmpl-sandbox-{made.mark}",
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [_choice(made, index) for index in range(request.n or 1)],
        "usage": _chat_usage(made),
        "service_tier": _tier(request.service_tier),
        "system_fingerprint": FINGERPRINT,
    }


def _tier(asked: str | None) -> str:
    """The tier that answers: flex always has room, unless a fault says otherwise."""
    return "flex" if asked == "flex" else "default"


def _choice(made: Draft, index: int) -> Wire:
    message: Wire = {
        "role": "assistant",
        "content": made.text,
        "refusal": None,
        "annotations": [],
    }
    reason = "length" if made.is_cut else "stop"
    if made.outcome == "refusal":
        message |= {"content": None, "refusal": made.text}
    elif made.outcome == "content_filter":
        reason = "content_filter"
    elif made.tool is not None:
        function = {"name": made.tool.name, "arguments": made.text}
        call_id = f"call_sandbox_{made.mark}" + (f"_{index}" if index else "")
        call = {"id": call_id, "type": "function", "function": function}
        message |= {"content": None, "tool_calls": [call]}
        reason = reason if made.is_cut else "tool_calls"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _chat_usage(made: Draft) -> Wire | None:
    if made.outcome == "usage_null":
        return None
    usage = made.usage
    wire: Wire = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": None,
        "completion_tokens_details": None,
    }
    if made.outcome != "usage_details_null":
        wire["prompt_tokens_details"] = {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
            "audio_tokens": 0,
        }
        wire["completion_tokens_details"] = {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
    return wire


def response_body(request: ResponsesRequest, made: Draft, created: int) -> Wire:
    """Write a response object."""
    status = "incomplete" if made.is_cut or made.outcome == "content_filter" else "completed"
    status = "failed" if made.outcome == "failed" else status
    reason = "content_filter" if made.outcome == "content_filter" else "max_output_tokens"
    failure = {"code": "server_error", "message": "scripted failure of the sandbox"}
    tool_choice = "auto" if request.tool_choice is None else request.tool_choice
    return {
        "id": f"resp_sandbox_{made.mark}",
        "object": "response",
        "created_at": created,
        "status": status,
        "background": bool(request.background),
        "error": failure if status == "failed" else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "model": request.model,
        "output": [] if status == "failed" else _output(made, status),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "tool_choice": tool_choice,
        "tools": request.tools or [],
        "service_tier": _tier(request.service_tier),
        "metadata": request.metadata or {},
        "usage": None if status == "failed" else response_usage(made),
    }


def _output(made: Draft, status: str) -> list[Wire]:
    items: list[Wire] = []
    if made.has_thinking:
        summary = [{"type": "summary_text", "text": THINKING_TEXT}]
        items.append({"type": "reasoning", "id": f"rs_sandbox_{made.mark}", "summary": summary})
    if made.tool is not None:
        call: Wire = {
            "type": "function_call",
            "id": f"fc_sandbox_{made.mark}",
            "call_id": f"call_sandbox_{made.mark}",
            "name": made.tool.name,
            "arguments": made.text,
            "status": status,
        }
        return [*items, call]
    part: Wire = {"type": "output_text", "text": made.text, "annotations": []}
    if made.outcome == "refusal":
        part = {"type": "refusal", "refusal": made.text}
    message: Wire = {
        "type": "message",
        "id": f"msg_sandbox_{made.mark}",
        "status": status,
        "role": "assistant",
        "content": [part],
    }
    return [*items, message]


def response_usage(made: Draft) -> Wire | None:
    """Write the usage of a response object."""
    if made.outcome == "usage_null":
        return None
    wire = usage_object(made.usage)
    if made.outcome == "usage_details_null":
        wire |= {"input_tokens_details": None, "output_tokens_details": None}
    return wire


def embeddings_body(request: EmbeddingsRequest) -> tuple[Wire, TokenUsage]:
    """Write embeddings and say what they cost."""
    tokens = embedding_tokens(request)
    data = [
        {"object": "embedding", "index": index, "embedding": _embedding(str(text), request)}
        for index, text in enumerate(embedding_inputs(request))
    ]
    total = sum(tokens)
    usage = {"prompt_tokens": total, "total_tokens": total}
    body: Wire = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return body, TokenUsage(input_tokens=total)


def _embedding(text: str, request: EmbeddingsRequest) -> list[float] | str:
    size = request.dimensions or DIMENSIONS
    key = digest(text.encode())
    raw = [(key[i & 7] ^ (i * 37 & 255)) - 127.5 for i in range(size)]
    length = sum(value * value for value in raw) ** 0.5
    vector = [round(value / length, 6) for value in raw]
    if request.encoding_format == "base64":
        return base64.b64encode(array("f", vector).tobytes()).decode()
    return vector
