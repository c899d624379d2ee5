"""Logs that write only when told to, and that die at any step."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batchata.core.logged import LoggedEvent
from batchata.sinks.eventlog import EventLog, read_events
from batchata.sinks.eventlog import log as module

NOON = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1e6)
DAY = 86_400_000_000


def event(number: int = 0, **changes: Any) -> LoggedEvent:
    values: dict[str, Any] = {
        "event_type": "llm_end",
        "run_id": f"run-{number}",
        "custom_id": f"row-{number}",
        "timestamp_us": NOON + number,
        "data": {"answer": f"answer {number}"},
    }
    return LoggedEvent(**{**values, **changes})


def still(where: Any, **options: Any) -> EventLog:
    """A log that writes only when it is told to."""
    return EventLog(where, buffer_size=10**6, flush_seconds=10**6, **options)


def ids(where: Any, **wanted: Any) -> list[str]:
    return list(read_events(where, **wanted)["logger_custom_id"])


class Killed(BaseException):
    """The power goes."""


def let_die(log: EventLog) -> None:
    """What the system does when a process goes: its locks are free, its memory is gone."""
    for journal in [*(each.journal for each in log._full), log._journal]:
        if journal is not None:
            journal.let_go()
    log._full, log._journal, log._rows, log._is_closed = [], None, [], True
    module._UNWRITTEN.discard(log)


def several_files(folder: Path) -> None:
    with still(folder) as log:
        for number in range(6):
            log.write(event(number, timestamp_us=NOON + number + number // 3 * DAY))
            log.flush()


def wait_for(holds: Any) -> None:
    for _ in range(6_000):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not come about")
