"""What the event log is told of responses that are fetched."""

from __future__ import annotations

from typing import Any, Protocol, cast
from uuid import uuid4

import orjson

from batchata.core.errors import ValidationError
from batchata.core.logged import LoggedEvent
from batchata.integrations.background.fetching import Fetched


class Writes(Protocol):
    """An event log, as far as it is needed here."""

    def write(self, event: LoggedEvent) -> None:
        """Keep one event; it is on disk when this returns."""

    def flush(self) -> bool:
        """Bring everything so far to its place."""


def log_of(logger: Any) -> Writes | None:
    """The event log of a logger: itself, or its `log`; ValidationError for anything else."""
    if logger is None:
        return None
    for each in (logger, getattr(logger, "log", None)):
        if callable(getattr(each, "write", None)) and callable(getattr(each, "flush", None)):
            return cast(Writes, each)
    raise ValidationError(
        f"logger is a {type(logger).__name__}, which keeps no events",
        hint="give an EventLog or a ParquetLogger, or leave it out",
    )


class RetrievalEvents:
    """Writes an attempt and its end for each response; the ids are those of one retrieval."""

    def __init__(self, log: Writes | None) -> None:
        self._log = log
        self._run = uuid4().hex

    def tell(self, found: Fetched, custom_id: str) -> None:
        """An attempt, and how it ended; EventLogError when the log must be written and cannot."""
        if self._log is None:
            return
        about: dict[str, Any] = {"response_id": found.response_id, "attempts": found.attempts}
        if not found.is_open:
            self._write("attempt", custom_id, about)
        about["status"] = found.status
        if found.body is not None:
            response = orjson.loads(found.body)
            self._write("complete", custom_id, {**about, "openai_response": response})
        elif found.error is not None:
            error = {"type": type(found.error).__name__, "message": found.error.message}
            self._write("error", custom_id, {**about, "error": error})
        else:
            self._write("attempt", custom_id, about)

    def _write(self, kind: str, custom_id: str, data: dict[str, Any]) -> None:
        assert self._log is not None
        self._log.write(
            LoggedEvent(
                event_type=f"background_retrieval_{kind}",
                run_id=data["response_id"],
                parent_run_id=self._run,
                custom_id=custom_id,
                provider="openai",
                data=data,
            )
        )

    def flush(self) -> None:
        """Bring the events to their place."""
        if self._log is not None:
            self._log.flush()
