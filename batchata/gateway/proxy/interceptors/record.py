"""`record`: writes every exchange to a cassette that can be replayed without a vendor."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import ClassVar, Final

from batchata.gateway.proxy.disk.lines import LineFile
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Outcome
from batchata.gateway.proxy.interceptors.line_writer import LineWriter
from batchata.gateway.proxy.tape.cassette import cassette_file, request_row, response_row, row_key

LOG: Final = logging.getLogger("batchata.gateway")


class Record(LineWriter):
    """Appends to `directory/cassette.jsonl`, or to `directory` itself when that ends in `.jsonl`.

    Keys and other secrets are never written.
    """

    name = "record"
    wants_pieces = True
    wants_bodies = True
    options: ClassVar = {"directory": "./cassettes"}
    directory: str | Path  #: a folder, or a file that ends in `.jsonl`

    async def start(self) -> None:
        """Open the cassette; what it already holds stays."""
        self._file = LineFile(cassette_file(Path(self.directory)))
        self._file.open()
        self._counts: Counter[bytes] = Counter()
        self._open: dict[str, tuple[dict[str, object], int]] = {}

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Number the request among its equals, in the order they are asked."""
        request, nth = self._numbered(exchange)
        if exchange.is_unread and exchange.body is None and exchange.spilled is None:
            LOG.warning(
                "record: the body of %s %s is larger than spill_bytes: replay will find its "
                "recording by its place among all such requests",
                *(exchange.method, exchange.path),
            )
        self._open[exchange.id] = request, exchange.nth or nth
        return CONTINUE

    def _numbered(self, exchange: Exchange) -> tuple[dict[str, object], int]:
        request = request_row(exchange)
        key = row_key(request)
        self._counts[key] += 1
        return request, self._counts[key]

    async def on_response(self, exchange: Exchange) -> None:
        """Add request and answer as one line."""
        asked = self._open.pop(exchange.id, None)
        answered = exchange.answer
        if answered is None or answered.source != "upstream":
            return
        response = response_row(answered)
        if response is None:
            return
        request, nth = asked or self._numbered(exchange)  # of a call that an earlier process took
        await self.write({"nth": nth, "request": request, "response": response})
