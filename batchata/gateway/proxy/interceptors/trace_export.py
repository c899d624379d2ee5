"""`trace_export`: events to a collector over HTTP, in bunches, off the request's path."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Final

import aiohttp
from pydantic import Field

from batchata.core.errors import ValidationError
from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.lines import as_json
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.interceptors.event_recorder import event_row
from batchata.gateway.proxy.telemetry.events import GatewayEvent

LOG: Final = logging.getLogger("batchata.gateway")
_REDACTOR: Final = Redactor()
_TRIES: Final = 4
_FIRST_WAIT: Final = 0.5


class TraceExport(Interceptor):
    """Posts events to `url`; those that a collector does not take are counted and dropped.

    `preset` is the shape: "json" (a list of events), "otlp" (spans, OTLP/HTTP JSON), or "cylestio"
    (a telemetry event each). `headers` may carry a key.
    """

    name = "trace_export"
    options: ClassVar = {
        "url": "",
        "preset": "json",
        "headers": {},
        "batch_size": 200,
        "most_waiting": 20_000,
        "timeout_seconds": 10,
    }
    url: str  #: must be given
    preset: str  #: `json` (a list of events), `otlp` (spans) or `cylestio`
    headers: dict[str, str]  #: sent with each post; a key may be among them
    batch_size: Annotated[int, Field(ge=1)]  #: events of one post, at most
    most_waiting: Annotated[int, Field(ge=1)]  #: then the oldest events are dropped
    timeout_seconds: Annotated[float, Field(gt=0)]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.url.startswith(("http://", "https://")):
            raise ValidationError(
                f"trace_export: url is {self.url!r}",
                hint="write url: http://127.0.0.1:4318/v1/traces",
            )
        if self.preset not in PRESETS:
            raise ValidationError(
                f"trace_export: preset is {self.preset!r}", hint=f"use {', '.join(PRESETS)}"
            )

    async def start(self) -> None:
        """Open a session of its own, so that a slow collector holds up nothing else."""
        self._session = aiohttp.ClientSession(
            headers={**self.headers, "Content-Type": "application/json"},
            timeout=aiohttp.ClientTimeout(total=self.timeout_seconds),
        )
        self._waiting: deque[GatewayEvent] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self._is_closing = False

    async def on_event(self, event: GatewayEvent) -> None:
        """Take an event; the oldest goes when too many wait."""
        if len(self._waiting) >= self.most_waiting:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)

    def gauges(self) -> Mapping[str, float]:
        """Events that the collector did not take."""
        return {"dropped": self.dropped}

    async def flush(self) -> None:
        """Begin to post what waits, if nothing is being posted."""
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._post_all())

    async def aclose(self) -> None:
        """Post what is left, as long as the collector takes it."""
        self._is_closing = True
        try:
            if self._task is not None:
                await self._task
            await self._post_all()
        finally:
            await self._session.close()
        if self.dropped:
            LOG.warning("trace_export: %d events were dropped", self.dropped)

    async def _post_all(self) -> None:
        while self._waiting:
            count = min(self.batch_size, len(self._waiting))
            events = [self._waiting.popleft() for _ in range(count)]
            for body in PRESETS[self.preset](events):
                if not await self._post(body):
                    self.dropped += count
                    break
            else:
                continue
            if self._is_closing:  # the end does not wait for a collector that is away
                self.dropped += len(self._waiting)
                self._waiting.clear()

    async def _post(self, body: bytes) -> bool:
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_FIRST_WAIT * 2 ** (number - 1))
            try:
                async with self._session.post(
                    self.url, data=body, allow_redirects=False
                ) as response:
                    if response.status < 300:
                        return True
                    if response.status not in (408, 429) and response.status < 500:
                        LOG.warning("trace_export: the collector said %d", response.status)
                        return False
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                LOG.warning("trace_export: %s", type(error).__name__)
        return False


def as_list(events: Sequence[GatewayEvent]) -> list[bytes]:
    """Our own shape: a list of events."""
    return [as_json([event_row(each) for each in events], _REDACTOR)]


def as_spans(events: Sequence[GatewayEvent]) -> list[bytes]:
    """OTLP: each call that ended is a span, others are spans without length."""
    spans = [_span(each) for each in events if each.name != "llm.call.start"]
    if not spans:
        return []
    resource = {"attributes": [_attribute("service.name", "batchata-gateway")]}
    scope = {"scope": {"name": "batchata.gateway"}, "spans": spans}
    return [as_json({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}, _REDACTOR)]


def as_telemetry(events: Sequence[GatewayEvent]) -> list[bytes]:
    """Cylestio's telemetry: one body for each event."""
    return [
        as_json(
            {
                "schema_version": "1.0",
                "timestamp": each.at_us / 1e6,
                "trace_id": _id(each.session_id, 16),
                "span_id": _id(each.exchange_id or each.session_id, 8),
                "name": each.name,
                "level": "ERROR" if each.name.endswith("error") else "INFO",
                "agent_id": each.agent_id,
                "session_id": each.session_id,
                "attributes": dict(each.attributes),
            },
            _REDACTOR,
        )
        for each in events
    ]


PRESETS: Final[dict[str, Callable[[Sequence[GatewayEvent]], list[bytes]]]] = {
    "json": as_list,
    "otlp": as_spans,
    "cylestio": as_telemetry,
}


def _span(event: GatewayEvent) -> dict[str, Any]:
    seconds = float(event.attributes.get("llm.response.seconds") or 0)
    ended_ns = event.at_us * 1000
    is_error = event.name == "llm.call.error" or event.attributes.get("tool.status") == "error"
    values = {**event.attributes, "session.id": event.session_id, "agent.id": event.agent_id}
    return {
        "traceId": _id(event.session_id, 16),
        "spanId": _id(f"{event.exchange_id}{event.name}{event.attributes.get('tool.id', '')}", 8),
        "name": event.name.removesuffix(".finish").removesuffix(".error"),
        "kind": 3,
        "startTimeUnixNano": str(ended_ns - int(seconds * 1e9)),
        "endTimeUnixNano": str(ended_ns),
        "attributes": [_attribute(name, value) for name, value in values.items()],
        "status": {"code": 2 if is_error else 1},
    }


def _attribute(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        found: dict[str, Any] = {"boolValue": value}
    elif isinstance(value, int):
        found = {"intValue": str(value)}
    elif isinstance(value, float):
        found = {"doubleValue": value}
    else:
        text = value if isinstance(value, str) else as_json(value, _REDACTOR).decode()
        found = {"stringValue": text}
    return {"key": name, "value": found}


def _id(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=size).hexdigest()
