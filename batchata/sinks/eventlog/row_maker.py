"""Turns events into rows of a log, without secrets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from batchata.core.logged import LoggedEvent, envelopes, to_json
from batchata.core.redact import Redactor
from batchata.sinks.eventlog.table import Row


class RowMaker:
    """Makes rows; what they share is worked out once."""

    def __init__(self, secrets: Iterable[str], provider: str, metadata: Mapping[str, Any]) -> None:
        self._redactor = Redactor(secrets)
        self._provider = provider  #: for events that name none
        named = self._redactor.named
        #: the log's own, as JSON
        self.metadata = self._redactor.json(to_json(named(dict(metadata)), named)).decode()

    def row(self, event: LoggedEvent) -> Row:
        """The row of one event."""
        at_us = event.timestamp_us or _now_us()
        return self._row(event, at_us, event.payload(at_us, self._redactor))

    def rows(self, events: Iterable[LoggedEvent]) -> list[Row]:
        """The rows of several events, searched for secrets together."""
        timed = [(each, each.timestamp_us or _now_us()) for each in events]
        payloads = self._redactor.jsons(envelopes(timed, self._redactor))
        return [
            self._row(each, at_us, payload)
            for (each, at_us), payload in zip(timed, payloads, strict=True)
        ]

    def _row(self, event: LoggedEvent, at_us: int, payload: bytes) -> Row:
        run_id, custom_id = event.run_id, event.custom_id
        if self._redactor.knows_values:
            run_id, custom_id = self._redactor.text(run_id), self._redactor.text(custom_id)
        return Row(
            at_us,
            run_id,
            custom_id,
            event.event_type,
            event.provider or self._provider,
            self.metadata,
            payload,
        )


def _now_us() -> int:
    return time.time_ns() // 1000
