"""The base of interceptors that write rows into a file of JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from batchata.gateway.proxy.disk.lines import LineFile
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import GatewayEvent

#: rows that wait for the next flush after events; more are written at once
_MOST_WAITING: Final = 256


class LineWriter(Interceptor):
    """Writes to `_file`, which `start` opens, and flushes it after events, off the calls' path."""

    _file: LineFile
    _waiting = 0

    async def write(self, row: Mapping[str, Any]) -> None:
        """Add a row; rows are written to disk many at a time."""
        self._file.add(row)
        self._waiting += 1
        if self._waiting >= _MOST_WAITING:
            await self.flush()

    async def on_event(self, event: GatewayEvent) -> None:
        """Do nothing with the event but be flushed after it."""

    async def flush(self) -> None:
        """Write the rows to disk."""
        self._waiting = 0
        await self._file.flush()

    def gauges(self) -> Mapping[str, float]:
        """Bytes that a full disk has not taken yet, and lines that are lost."""
        return {"held_bytes": self._file.held_bytes, "lost_lines": self._file.lost}

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()
