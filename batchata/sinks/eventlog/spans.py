"""The event log's calls as OpenTelemetry spans, following its GenAI conventions."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import orjson

from batchata.core.errors import EventLogError
from batchata.core.genai import REQUEST_ATTRIBUTES
from batchata.sinks.eventlog.fields import flat, text_of
from batchata.sinks.eventlog.table import Row

#: kinds of events that begin and end, by the conventions' names
_OPERATIONS: Final = {
    "llm": "chat",
    "chat_model": "chat",
    "tool": "execute_tool",
    "retriever": "retrieval",
    "chain": "",
    "batch": "",
}
_STARTS: Final = {"batch_submitted": "batch", **{f"{each}_start": each for each in _OPERATIONS}}
_ENDS: Final = {
    "batch_ended": "batch",
    **{f"{each}_end": each for each in _OPERATIONS},
    **{f"{each}_error": each for each in _OPERATIONS},
}
#: LangChain's names for roles
_ROLES: Final = {
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "tool": "tool",
}
#: open spans; beyond this the oldest is dropped, and made again when it ends
_MOST_OPEN: Final = 10_000


class Spans:
    """Makes a span of each call, tool, chain and batch, for whichever exporter is set up.

    Without `tracer_provider` the global one is used. Prompts and answers are in the spans only with
    `content`. Raises EventLogError when opentelemetry is not installed.
    """

    def __init__(self, tracer_provider: Any = None, *, content: bool = False) -> None:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise EventLogError(
                "spans need opentelemetry, which is not installed",
                hint="pip install 'batchata[otel]'",
            ) from error
        self._trace = trace
        self._tracer = trace.get_tracer("batchata", tracer_provider=tracer_provider)
        self._content = content
        self._open: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def write(self, rows: Iterable[Row]) -> None:
        """Begin or end the spans that events belong to."""
        for row in rows:
            self._take(row)

    def _take(self, row: Row) -> None:
        if row.event_type in _STARTS:
            span = self._begun(row, _STARTS[row.event_type], row.timestamp_us)
            with self._lock:
                if len(self._open) >= _MOST_OPEN:
                    self._open.popitem(last=False)
                self._open[row.run_id] = span
        elif row.event_type in _ENDS:
            with self._lock:
                span = self._open.pop(row.run_id, None)
            self._end(row, span)

    def _begun(self, row: Row, kind: str, at_us: int) -> Any:
        said, data = flat(row.payload), _data(row.payload)
        operation = _OPERATIONS[kind]
        name = str(said.get("model") or data.get("batch_id") or "")
        parent = self._open.get(said.get("parent_run_id") or "")
        trace = self._trace
        attributes = {
            **_beginning(row, operation, name),
            **_asked(data),
            **({"gen_ai.input.messages": _prompt(data)} if self._content else {}),
        }
        return self._tracer.start_span(
            " ".join(each for each in (operation or kind, name) if each),
            context=None if parent is None else trace.set_span_in_context(parent),
            kind=trace.SpanKind.CLIENT if operation == "chat" else trace.SpanKind.INTERNAL,
            attributes={key: each for key, each in attributes.items() if each is not None},
            start_time=at_us * 1000,
        )

    def _end(self, row: Row, span: Any) -> None:
        said, data = flat(row.payload), _data(row.payload)
        if span is None:  # it began in another process, or was never logged
            took_us = round((said.get("latency_seconds") or 0) * 1e6)
            span = self._begun(row, _ENDS[row.event_type], row.timestamp_us - took_us)
        answered = {
            "gen_ai.response.model": said.get("model"),
            "gen_ai.usage.input_tokens": said.get("input_tokens"),
            "gen_ai.usage.output_tokens": said.get("output_tokens"),
            "gen_ai.response.finish_reasons": _finish(data),
            "gen_ai.response.id": data.get("request_id"),
            "batchata.cost_usd": said.get("cost_usd"),
            "gen_ai.usage.cache_read.input_tokens": _mapping(data.get("usage")).get(
                "cache_read_tokens"
            ),
            "gen_ai.output.messages": _answer(said, data) if self._content else None,
        }
        span.set_attributes({key: each for key, each in answered.items() if each is not None})
        if said.get("error"):
            error = data.get("error")
            kind = error.get("type") if isinstance(error, Mapping) else None
            span.set_attribute("error.type", str(kind or "_OTHER"))
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, said["error"]))
        span.end(end_time=row.timestamp_us * 1000)


def spans_as_asked(spans: bool | Literal["content"]) -> Spans | None:
    """Spans for the global tracer provider; None when none are wanted."""
    return Spans(content=spans == "content") if spans else None


def _beginning(row: Row, operation: str, name: str) -> dict[str, Any]:
    is_tool = operation == "execute_tool"
    return {
        "gen_ai.operation.name": operation or None,
        "gen_ai.provider.name": row.provider or None,
        "gen_ai.tool.name": name if is_tool else None,
        "gen_ai.request.model": name if operation == "chat" and name else None,
        "batchata.run_id": row.run_id,
        "batchata.custom_id": row.custom_id or None,
    }


def _asked(data: Mapping[str, Any]) -> dict[str, Any]:
    params = _mapping(data.get("invocation_params"))
    return {
        name: params[key]
        for key, name in REQUEST_ATTRIBUTES.items()
        if isinstance(params.get(key), (int, float))
    }


def _prompt(data: Mapping[str, Any]) -> str | None:
    asked = data.get("messages") or data.get("prompts") or [data.get("prompt")]
    if isinstance(asked, list) and asked and isinstance(asked[0], list):
        asked = asked[0]
    if not isinstance(asked, list):
        asked = [asked]
    said = [_message(each) for each in asked if each]
    return orjson.dumps(said).decode() if said else None


def _message(said: Any) -> dict[str, Any]:
    fields = said if isinstance(said, Mapping) else {"content": said}
    role = str(fields.get("role") or _ROLES.get(str(fields.get("type"))) or "user")
    text = text_of(fields.get("content")) or ""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _answer(said: Mapping[str, Any], data: Mapping[str, Any]) -> str | None:
    if "answer" not in said:
        return None
    message = _message({"role": "assistant", "content": said["answer"]})
    finish = _finish(data)
    if finish:
        message["finish_reason"] = finish[0]
    return orjson.dumps([message]).decode()


def _finish(data: Mapping[str, Any]) -> tuple[str, ...] | None:
    metadata = _mapping(data.get("response_metadata"))
    found = data.get("finish_reason") or metadata.get("finish_reason")
    found = found or metadata.get("stop_reason")
    return (str(found),) if found else None


def _data(payload: bytes) -> Mapping[str, Any]:
    return _mapping(_mapping(orjson.loads(payload)).get("data"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
