"""A JobResult from what the state file keeps of a job."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from pydantic import BaseModel

from batchata.core.parse import bound_to, value_of
from batchata.core.result import Citation, JobResult
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape, Submission
from batchata.core.usage import from_parts

#: response model of a shape's number, where this process knows it
Bind = Callable[[int], type[BaseModel] | None]


def job_result(
    outcome: Outcome,
    job_id: str,
    shape_number: int,
    shape: Shape,
    submission: Submission | None,
    metadata: bytes | None,
    bind: Bind,
    paid_before: int = 0,
) -> JobResult:
    """The result a user sees; `paid_before` is what earlier attempts cost, 1e-12 USD."""
    usage = outcome.usage
    kept: dict[str, Any] = orjson.loads(outcome.extra) if outcome.extra else {}
    cited, mapped = kept.get("citations"), kept.get("citation_mappings")
    return JobResult(
        job_id=job_id,
        raw_response=outcome.text,
        parsed_response=_parsed(outcome.parsed, bind(shape_number)) if outcome.parsed else None,
        citations=_citations(cited) if cited else None,
        citation_mappings={path: _citations(found) for path, found in mapped.items()}
        if mapped
        else None,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=from_parts(outcome.cost + paid_before),
        error=outcome.error,
        batch_id=submission.remote_id if submission else None,
        status=outcome.status,
        reason=outcome.reason,
        model=outcome.model or shape.model,
        provider=shape.provider,
        finish_reason=outcome.finish_reason,
        request_id=outcome.request_id,
        attempts=outcome.attempt,
        submitted_at=moment(_sent_us(submission)) if submission else None,
        finished_at=moment(outcome.finished_us),
        metadata=orjson.loads(metadata) if metadata else None,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        thinking=kept.get("thinking"),
        extra=kept.get("extra"),
    )


def unfinished(
    job_id: str,
    status: JobStatus,
    shape: Shape,
    attempts: int,
    metadata: bytes | None,
    paid: int = 0,
) -> JobResult:
    """The result of a job that has no answer yet."""
    where = "at the vendor" if status is JobStatus.SUBMITTED else "not sent"
    return JobResult(
        job_id=job_id,
        status=status,
        error=f"not finished: {where}; run again with the same state file",
        model=shape.model,
        provider=shape.provider,
        attempts=attempts,
        metadata=orjson.loads(metadata) if metadata else None,
        cost_usd=from_parts(paid),
    )


def _sent_us(submission: Submission) -> int | None:
    return submission.intended_us if submission.route == "live" else submission.accepted_us


@lru_cache(maxsize=256)
def moment(microseconds: int | None) -> datetime | None:
    """Aware UTC time of µs since the epoch."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC) if microseconds else None


def _citations(kept: list[dict[str, Any]]) -> list[Citation]:
    return [Citation.from_dict(each) for each in kept]


def _parsed(data: bytes, model: type[BaseModel] | None) -> Any:
    bound = None if model is None else bound_to(model, data)
    return value_of(data) if bound is None else bound  # it was paid for, and is not hidden
