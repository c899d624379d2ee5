"""A callback handler that writes what LangChain does to an event log: attach it and forget it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self
from uuid import UUID

import msgspec

from batchata.core.job import check_number
from batchata.core.logged import LoggedEvent
from batchata.integrations.langchain.configs import S3Config
from batchata.integrations.langchain.event_types import EventType, checked_types
from batchata.integrations.langchain.handlers import Callback, EventHandler
from batchata.integrations.langchain.tagging import extract_custom_id
from batchata.sdk.run_log import known_secrets
from batchata.sinks.eventlog import EventLog
from batchata.sinks.eventlog.spans import spans_as_asked

#: starts without an end are forgotten beyond this: their runs were dropped
_MOST_OPEN = 100_000


class _Begun(msgspec.Struct, frozen=True):
    """What an event's end does not say any more."""

    at: float
    run_id: str
    custom_id: str
    provider: str
    model: str | None


class ParquetLogger(EventHandler):
    """Logs what LangChain does as Parquet, from any number of threads and tasks at once.

    `event_types` defaults to questions, answers and errors of models; `provider` is written where
    LangChain does not know it; `raw=True` keeps every argument of the callbacks as well, and
    `spans=True` makes OpenTelemetry spans of the same events ("content": with prompts and answers).
    `s3_config` writes the log to a bucket too; with its `on_failure="error"` a call, a flush, or
    the end of the context raises EventLogError after a file could not be written there. Works as a
    context manager; without one everything is written at exit. Keys and passwords are removed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "./logs",
        buffer_size: int = 100,
        provider: str = "openai",
        logger_metadata: Mapping[str, Any] | None = None,
        partition_on: Literal["date"] | None = "date",
        event_types: Iterable[EventType | str] | None = None,
        s3_config: S3Config | Mapping[str, Any] | None = None,
        *,
        raw: bool = False,
        spans: bool | Literal["content"] = False,
        flush_seconds: float = 5.0,
        secrets: Iterable[str] = (),
    ) -> None:
        super().__init__()
        check_number("buffer_size", buffer_size, least=1, whole=True)
        self.event_types = checked_types(event_types)
        bucket = S3Config.of(s3_config)
        must_write = bucket is not None and bucket.on_failure == "error"
        self.raise_error = must_write  # else LangChain swallows what a handler raises
        self._groups = {each.partition("_")[0] for each in self.event_types}
        self._provider = provider
        self._raw = raw
        self._begun: dict[int, _Begun] = {}  #: in the order they began, by run id
        self.log = EventLog(
            log_dir,
            buffer_size=buffer_size,
            flush_seconds=flush_seconds,
            partition_on=partition_on,
            provider=provider,
            logger_metadata=logger_metadata,
            secrets=known_secrets() | set(secrets),
            also=[] if bucket is None else [bucket.place()],
            on_failure="error" if must_write else "continue",
            spans=spans_as_asked(spans),
        )

    @property
    def ignore_chain(self) -> bool:
        """True when no event of chains is logged."""
        return "chain" not in self._groups

    @property
    def ignore_agent(self) -> bool:
        """True when no event of agents or tools is logged."""
        return self._groups.isdisjoint(("agent", "tool"))

    @property
    def ignore_retriever(self) -> bool:
        """True when no event of retrievers is logged."""
        return "retriever" not in self._groups

    def note_unasked(self, run_id: str, config: Mapping[str, Any], why: str) -> None:
        """A row of a table that never reached a model, as an `llm_error`."""
        error = {"error": {"message": why, "type": "ValidationError"}}
        about = _Begun(0.0, run_id, _custom_id(config), self._provider, None)
        nobody = UUID(int=0)  # LangChain gave it no id: the event has that of `about`
        self._write(Callback(EventType.LLM_ERROR, nobody, config, error, ()), about)

    def flush(self) -> bool:
        """Write everything so far; True when all of it is in its place."""
        return self.log.flush()

    def close(self) -> bool:
        """Flush and end."""
        return self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def _begin(self, call: Callback) -> None:
        metadata = call.given.get("metadata") or {}
        begun = _Begun(
            time.monotonic(),
            str(call.run_id),
            _custom_id(call.given),
            str(metadata.get("ls_provider") or self._provider),
            call.data.get("model"),
        )
        if len(self._begun) >= _MOST_OPEN:
            self._forget()
        self._begun[call.run_id.int] = begun
        self._write(call, begun)

    def _forget(self) -> None:
        """Let go of the oldest start; another thread may be at it."""
        with contextlib.suppress(StopIteration, RuntimeError):
            self._begun.pop(next(iter(self._begun)), None)

    def _end(self, call: Callback) -> None:
        begun = self._begun.pop(call.run_id.int, None)
        if begun is None:
            self._note(call)
            return
        call.data["latency_seconds"] = round(time.monotonic() - begun.at, 6)
        if call.kind.startswith("llm_"):
            call.data["model"] = call.data.get("model") or begun.model
        self._write(call, begun)

    def _note(self, call: Callback) -> None:
        about = _Begun(0.0, str(call.run_id), _custom_id(call.given), self._provider, None)
        self._write(call, about)

    def _write(self, call: Callback, about: _Begun) -> None:
        if call.kind not in self.event_types:
            return
        parent = call.given.get("parent_run_id")
        self.log.write(
            LoggedEvent(
                event_type=call.kind._value_,  # as `value`, without the two calls of it
                run_id=about.run_id,
                parent_run_id=None if parent is None else str(parent),
                custom_id=about.custom_id,
                provider=about.provider,
                tags=call.given.get("tags") or (),
                metadata=call.given.get("metadata") or {},
                data=call.data,
                raw={"arguments": list(call.arguments), **call.given} if self._raw else None,
            )
        )


def _custom_id(given: Mapping[str, Any]) -> str:
    found = extract_custom_id(given.get("tags"))
    if found is None:
        found = (given.get("metadata") or {}).get("custom_id")
    return "" if found is None else str(found)
