"""The event log of a run: opened with the keys it must not hold, and brought up to date."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import closing

from batchata.core.assemble import Bind
from batchata.core.config import RunConfig
from batchata.core.errors import EventLogError
from batchata.core.redact import is_secret_name
from batchata.core.state import RunState
from batchata.providers.control import ProviderSettings
from batchata.sinks.eventlog.log import EventLog
from batchata.sinks.eventlog.run_events import RunEvents
from batchata.sinks.eventlog.spans import spans_as_asked
from batchata.stores.reader import ResultReader
from batchata.stores.sqlite import SQLiteStore


def open_run_log(
    config: RunConfig,
    store: SQLiteStore,
    state: RunState,
    bind: Bind,
    settings: Mapping[str, ProviderSettings],
    ask_stop: Callable[..., None],
) -> RunEvents:
    """The log that a run's settings name, with everything in it that the state file knows."""
    ends = config.event_log_stops
    target = EventLog(
        config.event_log or "",
        secrets=known_secrets(settings),
        on_failure="error" if ends else "continue",
        spans=spans_as_asked(config.event_log_spans),
    )

    def stop(error: EventLogError) -> None:
        ask_stop(error.message, error=error)

    made = RunEvents(
        target,
        store,
        state,
        bind,
        new_id=lambda: secrets.token_hex(8),
        stop=stop if ends else None,
    )
    if made.is_behind:
        with closing(ResultReader(store.path, bind=bind)) as reader:
            made.catch_up(reader.after)
    return made


def known_secrets(settings: Mapping[str, ProviderSettings] | None = None) -> frozenset[str]:
    """Keys that this process knows: what it was given, and what its environment holds."""
    given = (each.api_key for each in (settings or {}).values())
    clients = (getattr(each.client, "api_key", None) for each in (settings or {}).values())
    around = (value for name, value in os.environ.items() if is_secret_name(name))
    found = (*given, *clients, *around)
    return frozenset(value for value in found if isinstance(value, str) and value)
