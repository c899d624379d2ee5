"""State files for reports, written through the store: any answer, any document, any citation."""

from __future__ import annotations

import base64
import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from batchata.core.document import Attachment
from batchata.core.events import (
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.result import Citation, Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, Shape, Submission
from batchata.core.usage import Usage, to_parts
from batchata.stores.sqlite import SQLiteStore

START_US = 1_790_000_000_000_000
SECOND_US = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Said:
    """A job and how it ended; `status` pending is one that was never sent."""

    id: str
    text: str | None = "an answer"
    parsed: Any = None
    model: str = "gpt-6-luna"
    status: JobStatus = JobStatus.SUCCEEDED
    reason: Reason | None = None
    error: str | None = None
    cost_usd: Decimal = Decimal("0.0001")
    usage: Usage = field(default_factory=lambda: Usage(100, 20))
    seconds: float = 60.0
    prompt: str = "a question"
    blocks: Sequence[Mapping[str, Any]] = ()
    attachments: tuple[Attachment, ...] = ()
    citations: Sequence[Citation] = ()
    mappings: Mapping[str, Sequence[Citation]] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_state(path: Path, jobs: Sequence[Said], limit_usd: Decimal | None = None) -> Path:
    """A state file in which these jobs were run, one batch a model."""
    store = SQLiteStore(path)
    models = list(dict.fromkeys(job.model for job in jobs))
    if limit_usd is not None:
        store.commit(LimitSet(limit=to_parts(limit_usd)))
    for number, model in enumerate(models):
        store.commit(ShapeAdded(number=number, shape=_shape(model)))
    store.commit(JobsAdded(rows=[_row(n, job, models) for n, job in enumerate(jobs)]))
    for number, model in enumerate(models):
        sent = [n for n, job in enumerate(jobs) if job.model == model and job.status.is_final]
        if sent:
            _run(store, f"b{number}", model, sent, jobs)
    store.close()
    return path


def text_block(title: str, text: str) -> dict[str, Any]:
    """A text document as Anthropic takes it."""
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", "source": source, "title": title}


def pdf_block(title: str, data: bytes | str) -> dict[str, Any]:
    """A PDF as Anthropic takes it: its bytes, or the marker of an attachment."""
    encoded = data if isinstance(data, str) else base64.b64encode(data).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": encoded}
    return {"type": "document", "source": source, "title": title}


def attachment(path: Path) -> Attachment:
    """A PDF on disk, as the state file remembers it."""
    data = path.read_bytes()
    return Attachment(
        name=path.name,
        media_type="application/pdf",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        path=str(path),
    )


def _shape(model: str) -> Shape:
    provider = "anthropic" if model.startswith("claude") else "openai"
    return Shape(provider=provider, endpoint="/v1/x", model=model, citations=True)


def _row(seq: int, job: Said, models: Sequence[str]) -> JobRow:
    content = [*job.blocks, {"type": "text", "text": job.prompt}]
    body = {"model": job.model, "messages": [{"role": "user", "content": content}]}
    return JobRow(
        seq=seq,
        id=job.id,
        shape=models.index(job.model),
        body=orjson.dumps(body),
        key=None,
        metadata=None if job.metadata is None else orjson.dumps(job.metadata),
        input_bound=1000,
        output_bound=1000,
        cost_bound=to_parts(Decimal(1)),
        attachments=job.attachments,
    )


def _run(
    store: SQLiteStore, token: str, model: str, seqs: Sequence[int], jobs: Sequence[Said]
) -> None:
    submission = Submission(
        token=token,
        provider=_shape(model).provider,
        endpoint="/v1/x",
        model=model,
        wire_version="",
        seqs=array("I", seqs),
        status=SubmissionStatus.INTENDED,
        intended_us=START_US,
    )
    store.commit(SubmissionIntended(submission=submission))
    store.commit(
        SubmissionMoved(
            token=token,
            status=SubmissionStatus.ACCEPTED,
            remote_id=f"batch_{token}",
            accepted_us=START_US,
        )
    )
    store.commit(
        OutcomesRecorded(outcomes=[_outcome(n, jobs[n], token) for n in seqs], closes=token)
    )


def _outcome(seq: int, job: Said, token: str) -> Outcome:
    extra = dict(job.extra)
    if job.citations:
        extra["citations"] = [each.to_dict() for each in job.citations]
    if job.mappings:
        extra["citation_mappings"] = {
            path: [each.to_dict() for each in found] for path, found in job.mappings.items()
        }
    return Outcome(
        seq=seq,
        status=job.status,
        attempt=1,
        token=token,
        reason=job.reason,
        error=job.error,
        cost=to_parts(job.cost_usd),
        usage=job.usage,
        finish_reason="stop" if job.error is None else None,
        request_id=f"req_{seq}",
        text=job.text,
        parsed=None if job.parsed is None else orjson.dumps(job.parsed),
        extra=orjson.dumps(extra) if extra else None,
        finished_us=START_US + int(job.seconds * SECOND_US),
    )
