"""The event log as OpenTelemetry spans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from run_lab import Lab

from batchata import EventLog, LoggedEvent
from batchata.sinks.eventlog import spans as module
from batchata.sinks.eventlog.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

NOON_US = 1_795_000_000_000_000


class Seen:
    """A tracer provider, and the spans that came out of it."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def attributes(self, number: int = 0) -> dict[str, Any]:
        return dict(self.spans[number].attributes or {})


@pytest.fixture
def seen() -> Seen:
    return Seen()


def event(kind: str, seconds: float, **more: Any) -> LoggedEvent:
    at = NOON_US + round(seconds * 1e6)
    return LoggedEvent(**{"event_type": kind, "run_id": "r", "timestamp_us": at, **more})


def logged(seen: Seen, folder: Path, *events: LoggedEvent, **options: Any) -> None:
    with EventLog(folder / "logs", spans=Spans(seen.provider, **options)) as log:
        for each in events:
            log.write(each)


ASKED = {
    "messages": [{"role": "user", "content": "Name a river."}],
    "model": "gpt-6-luna",
    "invocation_params": {"temperature": 0.5, "max_completion_tokens": 20},
}
TOLD = {
    "answer": "The Spree.",
    "model": "gpt-6-luna-2026",
    "finish_reason": "stop",
    "usage": {"input_tokens": 5, "output_tokens": 4},
    "cost_usd": 0.25,
}


def test_a_call_is_a_span_in_the_words_of_the_conventions(seen: Seen, tmp_path: Path) -> None:
    start = event("llm_start", 0, provider="openai", custom_id="row-1", data=ASKED)
    logged(seen, tmp_path, start, event("llm_end", 2, provider="openai", data=TOLD))

    [span] = seen.spans
    assert (span.name, span.kind) == ("chat gpt-6-luna", SpanKind.CLIENT)
    assert (span.end_time or 0) - (span.start_time or 0) == 2_000_000_000
    assert span.start_time == NOON_US * 1000
    assert seen.attributes() == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-6-luna",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 20,
        "gen_ai.response.model": "gpt-6-luna-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 4,
        "batchata.cost_usd": 0.25,
        "batchata.custom_id": "row-1",
        "batchata.run_id": "r",
    }


def test_prompts_and_answers_are_there_only_when_asked_for(seen: Seen, tmp_path: Path) -> None:
    events = event("llm_start", 0, data=ASKED), event("llm_end", 1, data=TOLD)
    logged(seen, tmp_path, *events, content=True)

    said = seen.attributes()
    assert orjson.loads(said["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Name a river."}]}
    ]
    assert orjson.loads(said["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "The Spree."}],
            "finish_reason": "stop",
        }
    ]


def test_a_failed_call_is_a_span_with_its_error(seen: Seen, tmp_path: Path) -> None:
    error = {"error": {"type": "overloaded", "message": "try later"}}
    logged(seen, tmp_path, event("llm_start", 0, data=ASKED), event("llm_error", 1, data=error))

    [span] = seen.spans
    assert seen.attributes()["error.type"] == "overloaded"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "try later")


def test_what_runs_inside_another_is_its_child(seen: Seen, tmp_path: Path) -> None:
    logged(
        seen,
        tmp_path,
        event("chain_start", 0, run_id="chain", data={"model": "answering"}),
        event("tool_start", 1, run_id="tool", parent_run_id="chain", data={"model": "weather"}),
        event("tool_end", 2, run_id="tool", parent_run_id="chain"),
        event("chain_end", 3, run_id="chain"),
    )

    tool, chain = seen.spans
    assert (chain.name, tool.name) == ("chain answering", "execute_tool weather")
    assert seen.attributes()["gen_ai.tool.name"] == "weather"
    assert tool.parent is not None
    assert tool.parent.span_id == chain.get_span_context().span_id


@pytest.mark.parametrize("is_displaced", [False, True])
def test_an_end_without_its_start_is_a_span_as_long_as_the_call(
    is_displaced: bool, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_OPEN", 1)
    told = {**TOLD, "latency_seconds": 1.5}
    starts = [event("llm_start", 0, run_id=each, data=ASKED) for each in ("r", "other")]

    logged(seen, tmp_path, *(starts if is_displaced else []), event("llm_end", 2, data=told))

    [span] = seen.spans
    assert (span.end_time or 0) - (span.start_time or 0) == 1_500_000_000


def test_no_key_is_in_a_span(seen: Seen, tmp_path: Path) -> None:
    asked = {**ASKED, "messages": [{"role": "user", "content": "My key: sk-aaaabbbbccccddddeeee"}]}
    events = event("llm_start", 0, data=asked), event("llm_end", 1, data=TOLD)
    logged(seen, tmp_path, *events, content=True)

    assert "sk-aaaa" not in str(seen.attributes())


def test_a_run_makes_spans_of_its_calls_and_batches(
    lab: Lab, seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry import trace

    monkeypatch.setattr(trace, "get_tracer", lambda name, **_: seen.provider.get_tracer(name))

    lab.chat(3).set_event_log(tmp_path / "logs", spans=True).run()

    names = sorted(each.name.partition(" ")[0] for each in seen.spans)
    assert names == ["batch", "chat", "chat", "chat"]
    assert all(each.status.status_code is not StatusCode.ERROR for each in seen.spans)
