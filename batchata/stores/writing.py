"""A BatchState as the events that make a state file of it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import orjson

from batchata.core.document import Attachment
from batchata.core.errors import StateError
from batchata.core.events import (
    Durable,
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    UploadIntended,
)
from batchata.core.json_bytes import json_bytes
from batchata.core.result import JobResult
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, Shape, Submission
from batchata.core.upload import Upload, UploadStatus
from batchata.core.usage import to_parts
from batchata.stores.snapshot import BatchState

_GROUP: Final = 1000
_NOTHING: Final = Decimal(0)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def events_of(state: BatchState) -> Iterator[Durable]:
    """The events that make a new file hold this state.

    Raises StateError for a state that no events can lead to.
    """
    yield from _Writing(state).events()


class _Writing:
    """Names become numbers again."""

    def __init__(self, state: BatchState) -> None:
        self._state = state
        self._seqs = {job["id"]: seq for seq, job in enumerate(state.jobs)}
        if len(self._seqs) != len(state.jobs):
            raise StateError("two jobs of the state have the same id")
        self._shapes: dict[Shape, int] = {}
        self._tokens = {
            (each["provider"], each["batch_id"]): each["token"]
            for each in state.submissions
            if each["batch_id"] is not None
        }
        #: the open submission of a job, for results that no vendor's batch brought
        self._open = {
            job_id: each["token"]
            for each in state.submissions
            if _status(each).is_open
            for job_id in each["job_ids"]
        }
        self._paid: dict[str, Decimal] = {}
        for result in state.earlier:
            self._paid[result.job_id] = self._paid.get(result.job_id, _NOTHING) + result.cost_usd

    def events(self) -> Iterator[Durable]:
        state = self._state
        self._check_statuses()
        rows = [self._row(seq, job) for seq, job in enumerate(state.jobs)]
        for shape, number in self._shapes.items():
            yield ShapeAdded(number=number, shape=shape)
        for start in range(0, len(rows), _GROUP):
            yield JobsAdded(rows=rows[start : start + _GROUP])
        for each in state.submissions:
            yield SubmissionIntended(submission=self._submission(each))
        for each in state.uploads:
            yield UploadIntended(upload=_upload(each))
        outcomes = [self._earlier(each) for each in state.earlier]
        outcomes += [self._last(each) for each in state.results]
        for start in range(0, len(outcomes), _GROUP):
            yield OutcomesRecorded(outcomes=outcomes[start : start + _GROUP])
        limit = state.cost_limit_usd
        yield LimitSet(limit=None if limit is None else to_parts(limit))

    def _check_statuses(self) -> None:
        """Check that each status comes from the last result or from an open submission."""
        ended = {each.job_id: each.status for each in self._state.results}
        if len(ended) != len(self._state.results):
            raise StateError("a job of the state has two results")
        for job in self._state.jobs:
            status, result = JobStatus(job["status"]), ended.get(job["id"])
            if result is not None and (result is not status or not status.is_final):
                raise _wrong(job, f"and its result says {result}")
            if result is None and status.is_final:
                raise _wrong(job, "and has no result")
            if status is JobStatus.SUBMITTED and job["id"] not in self._open:
                raise _wrong(job, "and is in no open submission")
            if not status.is_final and job["body"] is None:
                raise StateError(
                    f"job {job['id']!r} is {status} and has no request body",
                    hint="run it from a batch: batch.add_jobs(job['question'] for job in "
                    "state.pending_jobs), and save the state without it",
                )

    def _row(self, seq: int, job: Mapping[str, Any]) -> JobRow:
        shape = Shape(
            provider=job["provider"],
            endpoint=job["endpoint"],
            model=job["model"],
            wire_version=job["wire_version"],
            schema=job["schema"],
            schema_name=job["schema_name"],
            citations=job["citations"],
            quotes=job.get("verify_quotes", False),
        )
        return JobRow(
            seq,
            job["id"],
            self._shapes.setdefault(shape, len(self._shapes)),
            b"" if job["body"] is None else orjson.dumps(job["body"]),
            bytes.fromhex(job["key"]) if job["key"] else None,
            orjson.dumps(job["metadata"]) if job["metadata"] else None,
            job["input_bound"],
            job["output_bound"],
            to_parts(Decimal(job["cost_bound_usd"])),
            tuple(Attachment(**each) for each in job["attachments"]),
        )

    def _submission(self, each: Mapping[str, Any]) -> Submission:
        return Submission(
            token=each["token"],
            provider=each["provider"],
            endpoint=each["endpoint"],
            model=each["model"],
            wire_version=each["wire_version"],
            seqs=array("I", [self._seq(job_id) for job_id in each["job_ids"]]),
            status=_status(each),
            intended_us=_us(each["intended_at"]) or 0,
            input_tokens=each["input_tokens"],
            size_bytes=each["size_bytes"],
            remote_id=each["batch_id"],
            input_ref=each["input_ref"],
            sent_us=_us(each["sent_at"]),
            accepted_us=_us(each["accepted_at"]),
            note=each["note"],
            route=each.get("route", "batch"),
        )

    def _earlier(self, result: JobResult) -> Outcome:
        return self._outcome(result, self._token(result), result.cost_usd)

    def _last(self, result: JobResult) -> Outcome:
        token = self._token(result) or self._open.get(result.job_id)
        cost = result.cost_usd - self._paid.get(result.job_id, _NOTHING)
        if cost < 0:
            raise StateError(f"job {result.job_id!r} cost less than its earlier attempts")
        return self._outcome(result, token, cost)

    def _token(self, result: JobResult) -> str | None:
        if result.batch_id is None:
            return None
        return self._tokens.get((result.provider, result.batch_id))

    def _outcome(self, result: JobResult, token: str | None, cost_usd: Decimal) -> Outcome:
        parsed = result.to_dict()["parsed_response"]
        return Outcome(
            seq=self._seq(result.job_id),
            status=result.status,
            attempt=result.attempts,
            token=token,
            reason=result.reason,
            error=result.error,
            cost=to_parts(cost_usd),
            usage=result.usage,
            finish_reason=result.finish_reason,
            model=result.model or None,
            request_id=result.request_id,
            text=result.raw_response,
            parsed=None if parsed is None else json_bytes(parsed),
            extra=_extra(result),
            finished_us=_us(result.finished_at) or 0,
        )

    def _seq(self, job_id: str) -> int:
        seq = self._seqs.get(job_id)
        if seq is None:
            raise StateError(f"the state speaks of job {job_id!r}, which is not among its jobs")
        return seq


def microseconds(when: datetime) -> int:
    """µs since the epoch, exactly."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def _us(when: datetime | str | None) -> int | None:
    if when is None:
        return None
    return microseconds(datetime.fromisoformat(when) if isinstance(when, str) else when)


def _status(submission: Mapping[str, Any]) -> SubmissionStatus:
    return SubmissionStatus[submission["status"].upper()]


def _upload(each: Mapping[str, Any]) -> Upload:
    return Upload(
        token=each["token"],
        provider=each["provider"],
        purpose=each["purpose"],
        name=each["name"],
        sha256=each["sha256"],
        size_bytes=each["size_bytes"],
        status=UploadStatus[each["status"].upper()],
        intended_us=_us(each["intended_at"]) or 0,
        file_id=each["file_id"],
        expires_us=_us(each["expires_at"]),
    )


def _extra(result: JobResult) -> bytes | None:
    kept: dict[str, Any] = {}
    if result.extra:
        kept["extra"] = result.extra
    if result.thinking:
        kept["thinking"] = result.thinking
    if result.citations:
        kept["citations"] = [each.to_dict() for each in result.citations]
    if result.citation_mappings:
        kept["citation_mappings"] = {
            path: [each.to_dict() for each in found]
            for path, found in result.citation_mappings.items()
        }
    return json_bytes(kept) if kept else None


def _wrong(job: Mapping[str, Any], why: str) -> StateError:
    return StateError(
        f"job {job['id']!r} is {job['status']} {why}",
        hint="a job's status follows from its result and its submissions: change those",
    )
