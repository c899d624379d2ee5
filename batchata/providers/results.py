"""Results of single jobs, for callers that keep no state file."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson

from batchata.core.answer_extra import doubted, found_in
from batchata.core.job import Job
from batchata.core.result import Answer, Failure, JobResult, Reason
from batchata.core.schema_checker import checker_of
from batchata.core.status import JobStatus
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.core.verdict import verdict_of
from batchata.documents.quoting import QuoteFinder
from batchata.ports import BatchLook, Encoded


def answered_result(
    job_id: str,
    job: Job,
    encoded: Encoded,
    answer: Answer,
    *,
    cost_usd: Decimal,
    batch_id: str,
    request_id: str | None,
) -> JobResult:
    """The result of a paid answer, useful or not."""
    shape = encoded.shape
    schema = checker_of(shape.schema) if shape.schema else None
    verdict = verdict_of(
        answer, job.response_model, None if job.response_model else schema, shape=shape
    )
    mappings = dict(verdict.mappings)
    if verdict.quotes:
        found = QuoteFinder().find(verdict.quotes, encoded.body, encoded.attachments)
        mappings = doubted(found, verdict.unstated)
    usage = answer.usage or Usage()
    parsed: Any = None
    if verdict.parsed is not None:
        parsed = orjson.loads(verdict.parsed)
        if job.response_model is not None:
            parsed = job.response_model.model_validate_json(verdict.parsed)
    failure = verdict.failure
    return JobResult(
        job_id=job_id,
        raw_response=answer.text,
        parsed_response=parsed,
        citations=list(answer.citations) or found_in(mappings) or None,
        citation_mappings=mappings or None,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_usd=cost_usd,
        error=failure.message if failure else None,
        batch_id=batch_id,
        status=JobStatus.FAILED if failure else JobStatus.SUCCEEDED,
        reason=failure.reason if failure else None,
        model=answer.model or shape.model,
        provider=shape.provider,
        finish_reason=answer.finish_reason,
        request_id=request_id or answer.request_id,
        attempts=1,
        metadata=dict(job.metadata) if job.metadata else None,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        thinking=answer.thinking,
        extra=dict(answer.extra) if answer.extra else None,
    )


def missing_result(job_id: str, shape: Shape, batch_id: str, look: BatchLook) -> JobResult:
    """The result of a job that no line was about."""
    failure = look.failure or Failure(Reason.MISSING, f"no answer: the batch is {look.word}")
    return failed_result(job_id, shape, batch_id, failure)


def failed_result(job_id: str, shape: Shape, batch_id: str, failure: Failure) -> JobResult:
    """The result of a job that the vendor refused."""
    return JobResult(
        job_id=job_id,
        error=failure.message,
        batch_id=batch_id,
        status=JobStatus.FAILED,
        reason=failure.reason,
        model=shape.model,
        provider=shape.provider,
        request_id=failure.request_id,
        attempts=1,
    )
