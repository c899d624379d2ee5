"""`event_recorder`: every event as a line of one JSONL file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from batchata.core.redact import Redactor
from batchata.gateway.proxy.disk.lines import LineFile
from batchata.gateway.proxy.interceptors.line_writer import LineWriter
from batchata.gateway.proxy.telemetry.events import GatewayEvent


class EventRecorder(LineWriter):
    """Appends events to `directory/filename`; several gateways may share it."""

    name = "event_recorder"
    options: ClassVar = {"directory": "./event_logs", "filename": "events.jsonl"}
    directory: str | Path
    filename: str  #: several gateways may share it

    async def start(self) -> None:
        """Open the file."""
        self._file = LineFile(Path(self.directory) / self.filename, Redactor())
        self._file.open()

    async def on_event(self, event: GatewayEvent) -> None:
        """Add an event."""
        self._file.add(event_row(event))


def event_row(event: GatewayEvent) -> dict[str, Any]:
    """An event as a row of JSON."""
    return {
        "timestamp_us": event.at_us,
        "name": event.name,
        "session_id": event.session_id,
        "exchange_id": event.exchange_id,
        "agent_id": event.agent_id,
        "provider": event.provider,
        "tags": event.tags,
        "attributes": event.attributes,
    }
