"""Writes what happens in a run of the engine to the event log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from batchata.core.assemble import Bind
from batchata.core.errors import EventLogError
from batchata.core.events import Event, OutcomesRecorded, SubmissionIntended, SubmissionMoved
from batchata.core.logged import LoggedEvent
from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Outcome, Submission
from batchata.ports import Store
from batchata.sinks.eventlog.log import EventLog
from batchata.sinks.eventlog.reading import read_events
from batchata.sinks.outcomes import results_of

log = logging.getLogger("batchata.events")

_MOVES: Final = {
    SubmissionStatus.ACCEPTED: "batch_submitted",
    SubmissionStatus.UNRESOLVED: "batch_unresolved",
    SubmissionStatus.DROPPED: "batch_dropped",
}
#: event types of background responses; a call that surely never left is no event
_BACKGROUND_MOVES: Final = {
    SubmissionStatus.ACCEPTED: "background_retrieval_attempt",
    SubmissionStatus.UNRESOLVED: "background_unresolved",
}
_MESSAGES: Final = ("messages", "input", "prompt")
#: how many outcomes of a crashed run are handled at a time
_GROUP: Final = 1000

ReadAfter = Callable[[int, int], tuple[int, list[JobResult]]]


class RunEvents:
    """Writes the start and end of each call, and what becomes of each batch.

    A call's `run_id` follows from the state file, the job and the attempt, so that a run that goes
    on in another process goes on in the log too. `stop` is told when the log fails and may not.
    """

    def __init__(
        self,
        target: EventLog,
        store: Store,
        state: RunState,
        bind: Bind,
        *,
        new_id: Callable[[], str],
        stop: Callable[[EventLogError], None] | None = None,
    ) -> None:
        self._log = target
        self._store = store
        self._state = state
        self._bind = bind
        self._stop = stop
        self._accepted: set[str] = set()
        self._last = store.last_number  #: number of the last logged outcome
        if store.meta("log_run") is None:
            store.set_meta(log_run=new_id(), logged=store.last_number)
        self._run = str(store.meta("log_run"))

    @property
    def is_behind(self) -> bool:
        """True when an earlier process committed outcomes but did not get to log them."""
        return int(self._store.meta("logged") or 0) < self._store.last_number

    def emit(self, event: Event) -> None:
        """Log what an engine event means for its calls."""
        try:
            for each in self._events(event):
                self._log.write(each)
        except EventLogError as error:
            if self._stop is None:
                raise
            self._stop(error)

    def catch_up(self, read_after: ReadAfter) -> None:
        """Log the outcomes that an earlier process committed but did not get to log."""
        done = int(self._store.meta("logged") or 0)
        last = self._store.last_number
        self._log.flush()
        known: set[str] | None = None
        while done < last:
            done, found = read_after(done, _GROUP)
            if known is None:
                known = self._known(found)
            for result in found:
                event = self._ended(result)
                if event.run_id not in known:
                    self._log.write(event)
        self._mark()

    def close(self) -> None:
        """Flush, and record in the state file that everything is in the log."""
        try:
            self._log.close()
        except EventLogError as error:
            log.error("%s", error)
        if self._log.is_safe:  # what could not be written is in a journal
            self._mark()

    def _mark(self) -> None:
        self._store.set_meta(logged=self._last)

    def _known(self, found: Sequence[JobResult]) -> set[str]:
        """Calls whose end is already in the log."""
        times = [each.finished_at for each in found if each.finished_at is not None]
        frame = read_events(
            self._log.place, event_type=("llm_end", "llm_error"), since=min(times, default=None)
        )
        return set(frame["run_id"])

    def _events(self, event: Event) -> Iterator[LoggedEvent]:
        match event:
            case SubmissionIntended():
                yield from self._starts(event.submission)
            case SubmissionMoved() if event.status in _MOVES:
                yield from self._moved(event)
            case OutcomesRecorded():
                self._last += len(event.outcomes)
                yield from map(self._ended, self._results(event.outcomes))
                yield from self._closed(event.closes)
            case _:
                return

    def _starts(self, submission: Submission) -> Iterator[LoggedEvent]:
        seqs = submission.seqs
        bodies = self._store.bodies(seqs)
        for seq, job_id, body in zip(seqs, self._store.ids(seqs), bodies, strict=True):
            yield LoggedEvent(
                event_type="llm_start",
                run_id=self._call(job_id, self._state.attempts[seq] + 1),
                parent_run_id=self._run,
                custom_id=job_id,
                provider=submission.provider,
                timestamp_us=submission.intended_us,
                data={**asked(body, submission.model), "route": submission.route},
            )

    def _moved(self, event: SubmissionMoved) -> Iterator[LoggedEvent]:
        submission = self._state.submissions[event.token]
        if submission.route == "live":
            return
        if event.status is SubmissionStatus.ACCEPTED:
            if event.token in self._accepted:  # a later event about it, such as its cancellation
                return
            self._accepted.add(event.token)
        if submission.route == "background":
            yield from self._fetching(_BACKGROUND_MOVES.get(event.status), submission)
            return
        yield self._about(_MOVES[event.status], submission, note=submission.note)

    def _fetching(self, event_type: str | None, submission: Submission) -> Iterator[LoggedEvent]:
        """The event for how fetching a response went."""
        if event_type is None:
            return
        (seq,) = submission.seqs
        (job_id,) = self._store.ids([seq])
        is_open = submission.status.is_open
        attempt = self._state.attempts[seq] + is_open
        yield LoggedEvent(
            event_type=event_type,
            run_id=self._call(job_id, attempt),
            parent_run_id=self._run,
            custom_id=job_id,
            provider=submission.provider,
            data={
                "response_id": submission.remote_id,
                "model": submission.model,
                "status": str(self._state.status_of(seq)),
                "note": submission.note,
            },
        )

    def _closed(self, token: str | None) -> Iterator[LoggedEvent]:
        submission = self._state.submissions.get(token or "")
        if submission is not None and submission.route == "background":
            has_answer = self._state.status_of(submission.seqs[0]) is JobStatus.SUCCEEDED
            end = "complete" if has_answer else "error"
            yield from self._fetching(f"background_retrieval_{end}", submission)
        elif submission is not None and submission.route != "live":
            statuses = [self._state.status_of(seq) for seq in submission.seqs]
            counts = {str(each): statuses.count(each) for each in JobStatus if each in statuses}
            yield self._about("batch_ended", submission, counts=counts)

    def _about(self, event_type: str, submission: Submission, **more: Any) -> LoggedEvent:
        return LoggedEvent(
            event_type=event_type,
            run_id=f"{self._run}:{submission.token}",
            parent_run_id=self._run,
            provider=submission.provider,
            data={
                "batch_id": submission.remote_id,
                "token": submission.token,
                "model": submission.model,
                "endpoint": submission.endpoint,
                "jobs": len(submission.seqs),
                "route": submission.route,
                **more,
            },
        )

    def _results(self, outcomes: Iterable[Outcome]) -> Iterator[JobResult]:
        return results_of(list(outcomes), self._store, self._state, self._bind)

    def _ended(self, result: JobResult) -> LoggedEvent:
        finished = result.finished_at
        return LoggedEvent(
            event_type="llm_end" if result.is_success else "llm_error",
            run_id=self._call(result.job_id, result.attempts),
            parent_run_id=self._run,
            custom_id=result.job_id,
            provider=result.provider or "",
            timestamp_us=None if finished is None else round(finished.timestamp() * 1e6),
            metadata=result.metadata or {},
            data=result_fields(result),
        )

    def _call(self, job_id: str, attempt: int) -> str:
        return f"{self._run}:{job_id}:{max(attempt, 1)}"


def asked(body: bytes, model: str) -> dict[str, Any]:
    """A request's messages and other fields."""
    request = orjson.loads(body) if body else {}
    said = next((request.pop(name) for name in _MESSAGES if name in request), None)
    name = "messages" if isinstance(said, list) else "prompt"
    request.pop("model", None)
    return {name: said, "model": model, "invocation_params": request}


def result_fields(result: JobResult) -> dict[str, Any]:
    """A result as it is logged, with its text only once."""
    began, finished = result.submitted_at, result.finished_at
    took = (finished - began).total_seconds() if began and finished else None
    return {
        "answer": result.raw_response,
        "model": result.model,
        "finish_reason": result.finish_reason,
        "usage": {
            "input_tokens": result.input_tokens,
            "output_tokens": result.output_tokens,
            "cache_read_tokens": result.cache_read_tokens,
            "cache_write_tokens": result.cache_write_tokens,
            "reasoning_tokens": result.reasoning_tokens,
        },
        "cost_usd": result.cost_usd,
        "latency_seconds": took,
        "error": None
        if result.error is None
        else {"type": str(result.reason), "message": result.error},
        "status": str(result.status),
        "goes_again": result.status is JobStatus.PENDING,
        "attempt": result.attempts,
        "batch_id": result.batch_id,
        "request_id": result.request_id,
        "thinking": result.thinking,
        "extra": result.extra,
    }
