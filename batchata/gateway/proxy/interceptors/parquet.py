"""`parquet`: every event into the event log, which runs and other doors write to as well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from batchata.core.logged import LoggedEvent
from batchata.gateway.proxy.disk.writing import Writing
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import EventName, GatewayEvent
from batchata.sinks.eventlog import EventLog

LOG: Final = logging.getLogger("batchata.gateway")


class Parquet(Interceptor):
    """Writes to an event log in `directory`, which may be an address such as s3://bucket/logs.

    `read_events` and `batchata events` read it; a call's `run_id` is its exchange, its parent the
    session. Events are in a journal on this machine until they are in Parquet.
    """

    name = "parquet"
    options: ClassVar = {
        "directory": "./events",
        "buffer_size": 5_000,
        "flush_seconds": 5.0,
        "metadata": {},
    }
    directory: str | Path  #: a folder, or an address such as `s3://bucket/logs`
    buffer_size: Annotated[int, Field(ge=1)]  #: the most events in one Parquet file
    flush_seconds: Annotated[float, Field(ge=0)]  #: how old an event may get before it is in one
    metadata: dict[str, Any]  #: kept with each file

    async def start(self) -> None:
        """Open the log."""
        self._log = EventLog(
            self.directory,
            buffer_size=self.buffer_size,
            flush_seconds=self.flush_seconds,
            provider="gateway",
            logger_metadata=self.metadata,
        )
        self._waiting: list[LoggedEvent] = []
        self._writing = Writing()

    async def on_event(self, event: GatewayEvent) -> None:
        """Add an event."""
        self._waiting.append(logged_event(event))

    async def flush(self) -> None:
        """Write events to the journal."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            await self._writing.run(self._write, waiting)

    def _write(self, events: Sequence[LoggedEvent]) -> None:
        self._log.write_many(events, redact_names=False)  # `GatewayEvent` has none of them

    async def aclose(self) -> None:
        """Write what is left; what cannot be written stays in the journal."""
        await self.flush()
        if not await asyncio.to_thread(self._log.close):
            LOG.warning("the event log could not be written; its events stay in a journal")


def logged_event(event: GatewayEvent) -> LoggedEvent:
    """An event as the event log has it."""
    kind, data_of = _KINDS[event.name]
    call = event.exchange_id
    return LoggedEvent(
        event_type=kind,
        run_id=call or event.session_id,
        parent_run_id=event.session_id if call else None,
        custom_id=event.agent_id,
        provider=event.provider,
        timestamp_us=event.at_us,
        tags=_tags(event.tags) if event.tags else (),
        data=data_of(event.attributes),
    )


def _tags(found: Mapping[str, str]) -> list[str]:
    return [f"{name}:{value}" if value else name for name, value in found.items()]


def _asked(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "model": found["llm.model"],
        "messages": found["llm.request.new_messages"],
        "invocation_params": found["llm.request.params"],
        "endpoint": found["llm.endpoint"],
        "route": "gateway",
        "attempt": found["attempt"],
    }


def _answered(found: Mapping[str, Any]) -> Mapping[str, Any]:
    message = found.get("error.message")
    return {
        "answer": found.get("llm.response.content"),
        "choices": found.get("llm.response.choices"),
        "thinking": found.get("llm.response.thinking"),
        "refusal": found.get("llm.response.refusal"),
        "model": found["llm.model"],
        "finish_reason": found.get("llm.response.finish_reason"),
        "cost_usd": found.get("llm.cost_usd"),
        "latency_seconds": found["llm.response.seconds"],
        "first_byte_seconds": found.get("llm.response.first_byte_seconds"),
        "status_code": found["http.status_code"],
        "source": found["source"],
        "attempt": found["attempt"],
        "request_id": found.get("llm.request_id"),
        "response_id": found.get("llm.response.id"),
        "usage": _usage(found) if "llm.usage.input_tokens" in found else {},
        "error": message and {"type": found.get("error.type"), "message": message},
        "ending": found.get("ending", "answered"),
    }


def _usage(found: Mapping[str, Any]) -> Mapping[str, int]:
    counts = {
        "input_tokens": found["llm.usage.input_tokens"],
        "output_tokens": found["llm.usage.output_tokens"],
        "cache_read_tokens": found["llm.usage.cache_read_tokens"],
        "cache_write_tokens": found["llm.usage.cache_write_tokens"],
        "reasoning_tokens": found["llm.usage.reasoning_tokens"],
    }
    if not found.keys().isdisjoint(_SELDOM):
        seldom = ((name.removeprefix(_USAGE), found.get(name)) for name in _SELDOM)
        counts.update((name, count) for name, count in seldom if count is not None)
    return counts


_USAGE: Final = "llm.usage."
#: counts that few answers have
_SELDOM: Final = (
    "llm.usage.cache_write_1h_tokens",
    "llm.usage.web_searches",
    "llm.usage.input_audio_tokens",
    "llm.usage.output_audio_tokens",
)
_KINDS: Final[dict[EventName, tuple[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]]]] = {
    "session.start": ("session_start", dict),
    "session.end": ("session_end", dict),
    "llm.call.start": ("llm_start", _asked),
    "llm.call.finish": ("llm_end", _answered),
    "llm.call.error": ("llm_error", _answered),
    "tool.execution": ("tool_execution", dict),
    "tool.result": ("tool_result", dict),
}
