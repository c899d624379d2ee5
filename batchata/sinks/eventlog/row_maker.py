"""Turns events into rows of a log, without secrets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from batchata.core.logged import LoggedEvent, payloads, to_json
from batchata.core.redact import Redactor
from batchata.sinks.eventlog.table import Head, Rows


class RowMaker:
    """Makes rows; what they share is worked out once."""

    def __init__(self, secrets: Iterable[str], provider: str, metadata: Mapping[str, Any]) -> None:
        self._redactor = Redactor(secrets)
        self._provider = provider  #: for events that name none
        named = self._redactor.named
        #: the log's own, as JSON
        self.metadata = self._redactor.json(to_json(named(dict(metadata)), named)).decode()

    def row(self, event: LoggedEvent) -> Rows:
        """The row of one event."""
        head = self._head(event)
        return Rows(self.metadata, [head], [event.payload(head[0], self._redactor)])

    def rows(self, events: Iterable[LoggedEvent], *, redact_names: bool = True) -> Rows:
        """The rows of several events, searched for secrets together."""
        given = [*events]
        heads = [*map(self._head, given)]
        times = [head[0] for head in heads]
        made = payloads(given, times, self._redactor, redact_names=redact_names)
        return Rows(self.metadata, heads, made)

    def _head(self, event: LoggedEvent) -> Head:
        run_id, custom_id = event.run_id, event.custom_id
        if self._redactor.knows_values:
            run_id, custom_id = self._redactor.text(run_id), self._redactor.text(custom_id)
        at_us = event.timestamp_us or _now_us()
        return at_us, run_id, custom_id, event.event_type, event.provider or self._provider


def _now_us() -> int:
    return time.time_ns() // 1000
