"""The event log: what happened in every part of the library, in one Parquet schema."""

from __future__ import annotations

from batchata.core.logged import LoggedEvent as LoggedEvent
from batchata.sinks.eventlog.compacting import compact_events as compact_events
from batchata.sinks.eventlog.log import EventLog as EventLog
from batchata.sinks.eventlog.reading import read_events as read_events

__all__ = ["EventLog", "LoggedEvent", "compact_events", "read_events"]
