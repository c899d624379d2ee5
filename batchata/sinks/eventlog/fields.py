"""The fields that payloads usually have, whichever part of the library wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

FIELDS: Final = (
    "model",
    "prompt",
    "answer",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_seconds",
    "error",
)
#: other names for token counts, as used by vendors and frameworks
_TOKENS: Final = {
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "output_tokens": ("output_tokens", "completion_tokens"),
}


def flat(payload: str | bytes | None, event_type: str = "") -> dict[str, Any]:
    """The usual fields of a payload, without those it lacks."""
    try:
        said = orjson.loads(payload or b"{}")
    except ValueError:
        return {}
    if not isinstance(said, dict):
        return {}
    # background events of an earlier generation have no envelope
    data: dict[str, Any] = said["data"] if isinstance(said.get("data"), dict) else said
    execution = _mapping(said.get("execution"))
    found = {
        "parent_run_id": execution.get("parent_run_id"),
        "model": _model(data),
        "prompt": _prompt(data),
        "answer": _answer(data),
        "cost_usd": _number(data.get("cost_usd")),
        "latency_seconds": data.get("latency_seconds"),
        "error": _error(data),
        **_tokens(data),
    }
    return {name: value for name, value in found.items() if value is not None}


def text_of(content: Any) -> str | None:
    """The text of a message's content: the content itself, or its text parts joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [each if isinstance(each, str) else _part(each) for each in content]
        return "".join(part for part in parts if part) or None
    return None


def _part(part: Any) -> str | None:
    return part.get("text") if isinstance(part, dict) and "text" in part else None


def _model(data: Mapping[str, Any]) -> str | None:
    return (
        data.get("model")
        or _mapping(data.get("invocation_params")).get("model")
        or _mapping(data.get("openai_response")).get("model")
    )


def _prompt(data: Mapping[str, Any]) -> str | None:
    prompts = data.get("prompts")
    if isinstance(prompts, list) and prompts:
        return "\n".join(str(each) for each in prompts)
    messages = data.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], list):
        messages = messages[0]
    if isinstance(messages, list):
        said = [text_of(_mapping(each).get("content")) for each in messages]
        return "\n".join(each for each in said if each) or None
    prompt = data.get("prompt", data.get("input_str", data.get("query")))
    return prompt if isinstance(prompt, str) else None


def _answer(data: Mapping[str, Any]) -> str | None:
    if isinstance(data.get("answer"), str):
        return str(data["answer"])
    generations = _mapping(data.get("response")).get("generations")
    while isinstance(generations, list) and generations:
        generations = generations[0]
    if isinstance(generations, dict):
        message = _mapping(generations.get("message"))
        said = generations.get("text") or text_of(message.get("content"))
        return said or _called(message.get("tool_calls"))
    background = _mapping(data.get("openai_response"))
    if background:
        items = [each for each in background.get("output") or () if isinstance(each, dict)]
        return "".join(text_of(each.get("content")) or "" for each in items) or None
    return data["output"] if isinstance(data.get("output"), str) else None


def _called(calls: Any) -> str | None:
    """An answer that consists of tool calls instead of text."""
    return orjson.dumps(calls).decode() if isinstance(calls, list) and calls else None


def _tokens(data: Mapping[str, Any]) -> dict[str, Any]:
    response = _mapping(data.get("response"))
    places = (
        data,
        _mapping(data.get("usage")),
        _mapping(data.get("usage_metadata")),
        _mapping(_mapping(data.get("openai_response")).get("usage")),
        _mapping(_mapping(response.get("llm_output")).get("token_usage")),
    )
    found = {}
    for name, others in _TOKENS.items():
        counts = (place.get(other) for place in places for other in others)
        found[name] = next((each for each in counts if isinstance(each, int)), None)
    return found


def _error(data: Mapping[str, Any]) -> str | None:
    error = data.get("error")
    if isinstance(error, dict):
        error = error.get("message")
    return str(error) if error else None


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
