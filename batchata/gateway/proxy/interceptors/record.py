"""`record`: every exchange into a cassette that can be replayed without a vendor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from batchata.gateway.proxy.disk.lines import LineFile
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome
from batchata.gateway.proxy.tape.cassette import cassette_file, request_row, response_row, row_key
from batchata.gateway.proxy.telemetry.events import GatewayEvent

_MOST_WAITING = 256


class Record(Interceptor):
    """Appends to `directory/cassette.jsonl`, or to `directory` itself when that ends in `.jsonl`.

    Keys and other secrets are never in it.
    """

    name = "record"
    wants_pieces = True
    options: ClassVar = {"directory": "./cassettes"}
    directory: str | Path  #: a folder, or a file that ends in `.jsonl`

    async def start(self) -> None:
        """Open the cassette; what is in it already stays."""
        self._file = LineFile(cassette_file(Path(self.directory)))
        self._file.open()
        self._counts: Counter[bytes] = Counter()
        self._open: dict[str, tuple[dict[str, object], int]] = {}
        self._waiting = 0

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Number the request among its equals, in the order they are asked."""
        request, nth = self._numbered(exchange)
        self._open[exchange.id] = request, exchange.nth or nth
        return CONTINUE

    def _numbered(self, exchange: Exchange) -> tuple[dict[str, object], int]:
        request = request_row(exchange)
        key = row_key(request)
        self._counts[key] += 1
        return request, self._counts[key]

    async def on_response(self, exchange: Exchange) -> None:
        """Take request and answer as one line."""
        asked = self._open.pop(exchange.id, None)
        answered = exchange.answer
        if answered is None or answered.source != "upstream":
            return
        response = response_row(answered)
        if response is None:
            return
        request, nth = asked or self._numbered(exchange)  # of a call that an earlier process took
        self._file.add({"nth": nth, "request": request, "response": response})
        self._waiting += 1
        if self._waiting >= _MOST_WAITING:
            await self.flush()

    async def on_event(self, event: GatewayEvent) -> None:
        """Be flushed after events, off the request's path."""

    async def flush(self) -> None:
        """Bring lines to disk."""
        self._waiting = 0
        await self._file.flush()

    def gauges(self) -> Mapping[str, float]:
        """What a full disk has not taken."""
        return {"held_bytes": self._file.held_bytes, "lost_lines": self._file.lost}

    async def aclose(self) -> None:
        """Close the cassette."""
        await self._file.aclose()
