"""`trace_export`: sends events to a collector over HTTP, in groups, off the request's path."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any, ClassVar, Final

import aiohttp
import orjson
from pydantic import Field

from batchata.core.errors import ValidationError
from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.lines import as_json
from batchata.gateway.proxy.interceptor import Interceptor, is_header
from batchata.gateway.proxy.interceptors.event_recorder import event_row
from batchata.gateway.proxy.telemetry.events import GatewayEvent
from batchata.gateway.proxy.telemetry.otlp import Spans, attribute, hex_id
from batchata.providers.failures import retry_after_seconds

LOG: Final = logging.getLogger("batchata.gateway")
_REDACTOR: Final = Redactor()
_TRIES: Final = 4
_FIRST_WAIT: Final = 0.5
#: a collector that asks for a longer wait is tried again after this
_LONGEST_WAIT: Final = 60.0
#: what is read of a collector's reply
_MOST_SAID: Final = 64 * 1024
#: posts in flight at once, when each event is one
_AT_ONCE: Final = 8


class TraceExport(Interceptor):
    """Posts events to `url`; those that a collector does not take are counted and dropped.

    `preset` is the shape: "json" (a list of events), "otlp" (OTLP/HTTP JSON spans that follow the
    GenAI conventions; with prompts and answers only if `content` is set), or "cylestio" (one
    telemetry event each). `headers` may carry a key. Shutdown waits up to `timeout_seconds`.
    """

    name = "trace_export"
    options: ClassVar = {
        "url": "",
        "preset": "json",
        "headers": {},
        "content": False,
        "batch_size": 200,
        "most_waiting": 20_000,
        "timeout_seconds": 10,
    }
    url: str  #: must be given
    preset: str  #: `json` (a list of events), `otlp` (spans) or `cylestio`
    headers: dict[str, str]  #: sent with each post; they may carry a key
    content: bool  #: put prompts and answers into spans; the other presets always have them
    batch_size: Annotated[int, Field(ge=1)]  #: the most events in one post
    most_waiting: Annotated[int, Field(ge=1)]  #: beyond it the oldest events are dropped
    timeout_seconds: Annotated[float, Field(gt=0)]  #: for one post, and for all of them at shutdown

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if not self.url.startswith(("http://", "https://")):
            raise ValidationError(
                f"trace_export: url is {self.url!r}",
                hint="write url: http://127.0.0.1:4318/v1/traces",
            )
        self.headers = {name: value.strip() for name, value in self.headers.items()}
        if not all(map(is_header, self.headers.items())):
            raise ValidationError(
                "trace_export: headers has an entry that cannot be a header",
                hint='write headers: {Authorization: "Bearer ${TOKEN}"}',
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
        shapes = {"json": as_list, "otlp": as_spans(content=self.content)}
        self.shape: Shape = shapes.get(self.preset, as_telemetry)
        self.dropped = 0
        self._is_closing = False
        self._ends_at = inf

    async def on_event(self, event: GatewayEvent) -> None:
        """Add an event; the oldest is dropped when too many wait."""
        if len(self._waiting) >= self.most_waiting:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)

    def gauges(self) -> Mapping[str, float]:
        """Events that the collector did not take."""
        return {"dropped": self.dropped}

    async def flush(self) -> None:
        """Start to post what waits, unless a post is in flight."""
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._post_all())

    async def aclose(self) -> None:
        """Post what is left, as long as the collector takes it, within the time of one post."""
        self._is_closing = True
        self._ends_at = asyncio.get_running_loop().time() + self.timeout_seconds
        try:
            async with asyncio.timeout(self.timeout_seconds):
                if self._task is not None:
                    await self._task
                await self._post_all()
        except TimeoutError:
            self.dropped += len(self._waiting)
        await self._session.close()
        if self.dropped:
            LOG.warning("trace_export: %d events were dropped", self.dropped)

    async def _post_all(self) -> None:
        while self._waiting:
            count = min(self.batch_size, len(self._waiting))
            events = [self._waiting.popleft() for _ in range(count)]
            bodies, left = self.shape(events), count
            try:
                for start in range(0, len(bodies), _AT_ONCE):
                    if not await self._post_some(bodies[start : start + _AT_ONCE]):
                        break
                    left -= _AT_ONCE * count // len(bodies)
                else:
                    left = 0
            finally:
                self.dropped += max(0, left)
            if left and self._is_closing:  # shutdown does not wait for a collector that is away
                self.dropped += len(self._waiting)
                self._waiting.clear()

    async def _post_some(self, bodies: Sequence[bytes]) -> bool:
        """Post the first few of them at once; False when one is not taken."""
        async with asyncio.TaskGroup() as group:
            posts = [group.create_task(self._post(each)) for each in bodies[:_AT_ONCE]]
        return all(post.result() for post in posts)

    async def _post(self, body: bytes) -> bool:
        loop = asyncio.get_running_loop()
        for number in range(_TRIES):
            asked_seconds = 0.0
            try:
                async with self._session.post(
                    self.url, data=body, allow_redirects=False
                ) as response:
                    if response.status < 300:
                        await self._look_through(response)
                        return True
                    if response.status not in (408, 429) and response.status < 500:
                        LOG.warning("trace_export: the collector answered %d", response.status)
                        return False
                    asked_seconds = retry_after_seconds(response.headers) or 0.0
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                LOG.warning("trace_export: %s", type(error).__name__)
            wait = max(_FIRST_WAIT * 2**number, min(asked_seconds, _LONGEST_WAIT))
            if number + 1 == _TRIES or loop.time() + wait >= self._ends_at:
                break
            await asyncio.sleep(wait)
        return False

    async def _look_through(self, response: aiohttp.ClientResponse) -> None:
        """Count the spans that an OTLP collector has not taken, where it says so."""
        said = bytearray()
        try:
            while len(said) <= _MOST_SAID and (piece := await response.content.readany()):
                said += piece
            rejected = int(orjson.loads(said)["partialSuccess"]["rejectedSpans"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError):
            return  # it took the post all the same
        if rejected > 0 and self.preset == "otlp":
            self.dropped += rejected
            LOG.warning("trace_export: the collector took all but %d spans", rejected)


Shape = Callable[[Sequence[GatewayEvent]], list[bytes]]


def as_list(events: Sequence[GatewayEvent]) -> list[bytes]:
    """Our own shape: a list of events."""
    return [as_json([event_row(each) for each in events], _REDACTOR)]


def as_spans(*, content: bool) -> Shape:
    """OTLP: each call that ended is a span, and so is each tool whose result is known."""
    made = Spans(content=content)
    resource = {"attributes": [attribute("service.name", "batchata-gateway")]}

    def bodies(events: Sequence[GatewayEvent]) -> list[bytes]:
        spans = made.of(events)
        scope = {"scope": {"name": "batchata.gateway"}, "spans": spans}
        text = {"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}
        return [as_json(text, _REDACTOR)] if spans else []

    return bodies


def as_telemetry(events: Sequence[GatewayEvent]) -> list[bytes]:
    """Cylestio's telemetry: one body per event."""
    return [
        as_json(
            {
                "schema_version": "1.0",
                "timestamp": datetime.fromtimestamp(each.at_us / 1e6, UTC).isoformat(),
                "trace_id": hex_id(each.session_id, 16),
                "span_id": hex_id(each.exchange_id or each.session_id, 8),
                "name": each.name,
                "level": "ERROR" if each.name.endswith("error") else "INFO",
                "agent_id": each.agent_id,
                "session_id": each.session_id,
                "attributes": {**each.attributes, **_in_their_words(each)},
            },
            _REDACTOR,
        )
        for each in events
    ]


def _in_their_words(event: GatewayEvent) -> dict[str, Any]:
    """The values that Cylestio's telemetry has under names, or in units, of its own."""
    said = event.attributes
    found: dict[str, Any] = {"session.id": event.session_id}
    if event.name == "llm.call.start":
        params = said["llm.request.params"]
        data = {"messages": said["llm.request.new_messages"], "model": said["llm.model"]}
        found["llm.request.data"] = {**params, **data} if isinstance(params, Mapping) else data
    if event.name == "session.start" and "llm.tools" in said:
        found["tools"] = said["llm.tools"]
    if (seconds := said.get("llm.response.seconds")) is not None:
        found["llm.response.duration_ms"] = round(seconds * 1000, 3)
    if event.name == "tool.result":
        found["tool.execution_time_ms"] = round((said.get("tool.seconds") or 0) * 1000, 3)
    return found


PRESETS: Final = ("json", "otlp", "cylestio")
