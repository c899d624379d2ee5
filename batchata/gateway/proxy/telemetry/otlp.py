"""Calls and tools as OTLP/HTTP JSON spans that follow OpenTelemetry's GenAI conventions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from batchata.core.genai import REQUEST_ATTRIBUTES
from batchata.core.logged import to_json
from batchata.gateway.proxy.exchange import COMPLETIONS, EMBEDDINGS
from batchata.gateway.proxy.telemetry.events import GatewayEvent

#: calls and tools that have begun; beyond this the oldest gets a span from its end alone
_MOST_BEGUN: Final = 20_000
_CLIENT, _INTERNAL = 3, 1
_OK, _ERROR = 1, 2
_OPERATIONS: Final = {EMBEDDINGS: "embeddings", COMPLETIONS: "text_completion"}
#: providers that the conventions call by another name
_PROVIDERS: Final = {
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
}
_FLOATS: Final = frozenset({"temperature", "top_p", "top_k", "frequency_penalty"}) | {
    "presence_penalty"
}
_TOLD: Final = {
    "llm.model": "gen_ai.response.model",
    "llm.response.id": "gen_ai.response.id",
    "llm.usage.input_tokens": "gen_ai.usage.input_tokens",
    "llm.usage.output_tokens": "gen_ai.usage.output_tokens",
    "llm.usage.cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "llm.usage.cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "llm.usage.reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "http.status_code": "http.response.status_code",
    "source": "batchata.source",
    "attempt": "batchata.attempt",
    "llm.request_id": "batchata.request_id",
    "llm.service_tier": "batchata.service_tier",
}


class Spans:
    """Makes a span of each call that has ended, and of each tool whose result is known.

    Prompts and answers are in them only with `content`.
    """

    def __init__(self, *, content: bool = False) -> None:
        self._content = content
        self._begun: OrderedDict[str, GatewayEvent] = OrderedDict()

    def of(self, events: Sequence[GatewayEvent]) -> list[dict[str, Any]]:
        """The spans that these events end."""
        return [span for each in events for span in self._spans(each)]

    def _spans(self, event: GatewayEvent) -> Iterator[dict[str, Any]]:
        if event.name == "llm.call.start":
            self._begin(event.exchange_id, event)
        elif event.name == "tool.execution":
            self._begin(_tool_key(event), event)
        elif event.name == "tool.result":
            yield self._tool(event, self._begun.pop(_tool_key(event), None))
        elif event.name in ("llm.call.finish", "llm.call.error"):
            yield self._call(event, self._begun.pop(event.exchange_id, None))

    def _begin(self, key: str, event: GatewayEvent) -> None:
        self._begun[key] = event
        if len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)

    def _call(self, event: GatewayEvent, begun: GatewayEvent | None) -> dict[str, Any]:
        said, asked = event.attributes, begun.attributes if begun is not None else {}
        operation = _OPERATIONS.get(str(asked.get("llm.endpoint")), "chat")
        model = asked.get("llm.model") or said.get("llm.model") or ""
        is_stream = asked.get("llm.request.stream") is True
        values = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDERS.get(event.provider, event.provider),
            "gen_ai.request.model": model,
            **_parameters(asked.get("llm.request.params")),
            "gen_ai.request.stream": is_stream or None,
            **{name: said.get(ours) for ours, name in _TOLD.items()},
            "gen_ai.response.finish_reasons": _listed(said.get("llm.response.finish_reason")),
            "gen_ai.response.time_to_first_chunk": said.get("llm.response.first_byte_seconds")
            if is_stream
            else None,
            "batchata.cost_usd": _number(said.get("llm.cost_usd")),
            **(_contents(asked, said) if self._content else {}),
        }
        return _span(
            event,
            name=f"{operation} {model}".strip(),
            key=event.exchange_id,
            kind=_CLIENT,
            seconds=float(said.get("llm.response.seconds") or 0),
            values=values,
            error=said if event.name == "llm.call.error" else None,
        )

    def _tool(self, event: GatewayEvent, begun: GatewayEvent | None) -> dict[str, Any]:
        said, asked = event.attributes, begun.attributes if begun is not None else {}
        values = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": said["tool.name"],
            "gen_ai.tool.call.id": said["tool.id"],
        }
        if self._content:
            values["gen_ai.tool.call.arguments"] = asked.get("tool.params")
            values["gen_ai.tool.call.result"] = said.get("tool.result")
        made = _span(
            event,
            name=f"execute_tool {said['tool.name']}",
            key=_tool_key(event),
            kind=_INTERNAL,
            seconds=float(said.get("tool.seconds") or 0),
            values=values,
            error={"error.type": "tool_error"} if said.get("tool.status") == "error" else None,
        )
        return made if begun is None else made | {"parentSpanId": hex_id(begun.exchange_id, 8)}


def hex_id(text: str, size: int) -> str:
    """An id of so many bytes in hexadecimal digits, always the same for the same text."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=size).hexdigest()


def _tool_key(event: GatewayEvent) -> str:
    return f"{event.session_id} {event.attributes['tool.id']}"


def _span(
    event: GatewayEvent,
    *,
    name: str,
    key: str,
    kind: int,
    seconds: float,
    values: Mapping[str, Any],
    error: Mapping[str, Any] | None,
) -> dict[str, Any]:
    ended_ns = event.at_us * 1000
    about = {
        "gen_ai.conversation.id": event.session_id,
        "session.id": event.session_id,
        "gen_ai.agent.id": event.agent_id or None,
        "batchata.exchange_id": event.exchange_id,
        **{f"batchata.tag.{tag}": value for tag, value in event.tags.items()},
        "error.type": None if error is None else str(error.get("error.type") or "_OTHER"),
    }
    found = {**values, **about}
    status: dict[str, Any] = {"code": _OK}
    if error is not None:
        status = {"code": _ERROR, "message": str(error.get("error.message") or "")}
    attributes = [attribute(*each) for each in found.items() if each[1] not in (None, "")]
    return {
        "traceId": hex_id(event.session_id, 16),
        "spanId": hex_id(key, 8),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": str(ended_ns - int(seconds * 1e9)),
        "endTimeUnixNano": str(ended_ns),
        "attributes": attributes,
        "status": status,
    }


def attribute(name: str, value: Any) -> dict[str, Any]:
    """A name and a value in OTLP's form; a value of another type is JSON."""
    return {"key": name, "value": _any_value(value)}


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return {"arrayValue": {"values": [{"stringValue": each} for each in value]}}
    text = value if isinstance(value, str) else to_json(value).decode("utf-8", "replace")
    return {"stringValue": text}


def _parameters(params: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, name in REQUEST_ATTRIBUTES.items():
        value: Any = params.get(ours) if isinstance(params, Mapping) else None
        if name.endswith("stop_sequences"):
            value = _listed(value)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            value = None
        if value is not None and (ours, value) != ("n", 1):
            found[name] = float(value) if ours in _FLOATS else value
    return found


def _listed(value: Any) -> list[str] | None:
    if value is None or isinstance(value, str):
        return None if value is None else [value]
    return [str(each) for each in value] if isinstance(value, list) else None


def _number(text: Any) -> float | None:
    return None if text is None else float(text)


def _contents(asked: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    texts = said.get("llm.response.choices") or [said.get("llm.response.content")]
    reason = str(said.get("llm.response.finish_reason") or "")
    answers = [
        {"role": "assistant", "parts": [_text_part(text)], "finish_reason": reason}
        for text in texts
        if text is not None
    ]
    turns = asked.get("llm.request.new_messages") or ()
    return {
        "gen_ai.input.messages": to_json([_message(each) for each in turns]).decode(),
        "gen_ai.output.messages": to_json(answers).decode() if answers else None,
    }


def _message(turn: Any) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        return {"role": "user", "parts": [_text_part(turn)]}
    content = turn.get("content")
    parts = content if isinstance(content, list) else [content if "content" in turn else turn]
    return {"role": str(turn.get("role") or "user"), "parts": [_part(each) for each in parts]}


def _part(part: Any) -> Mapping[str, Any]:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return _text_part(part["text"])
    return part if isinstance(part, Mapping) else _text_part(part)


def _text_part(text: Any) -> dict[str, Any]:
    return {"type": "text", "content": text if isinstance(text, str) else to_json(text).decode()}
