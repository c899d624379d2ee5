"""Turns events into rows of a log, without secrets."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from batchata.core.logged import LoggedEvent, payloads, to_json
from batchata.core.redact import Redactor
from batchata.sinks.eventlog.table import Rows


class RowMaker:
    """Makes rows; what they share is worked out once."""

    def __init__(self, secrets: Iterable[str], provider: str, metadata: Mapping[str, Any]) -> None:
        self._redactor = Redactor(secrets)
        self._provider = provider  #: for events that name none
        named = self._redactor.named
        #: the log's own, as JSON
        self.metadata = self._redactor.json(to_json(named(dict(metadata)), named)).decode()

    def rows(self, events: Iterable[LoggedEvent], *, redact_names: bool = True) -> Rows:
        """The rows of several events, searched for secrets together."""
        given = [*events]
        times = [each.timestamp_us or _now_us() for each in given]
        return Rows(
            self.metadata,
            times,
            self._clean([each.run_id for each in given]),
            self._clean([each.custom_id for each in given]),
            [each.event_type for each in given],
            [each.provider or self._provider for each in given],
            payloads(given, times, self._redactor, redact_names=redact_names),
        )

    def _clean(self, ids: list[str]) -> list[str]:
        return [*map(self._redactor.text, ids)] if self._redactor.knows_values else ids


def _now_us() -> int:
    return time.time_ns() // 1000
