"""Jobs as the engine carries them: what many share, and what goes out together."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from batchata.core.document import Attachment
from batchata.core.result import Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.upload import inline_bytes
from batchata.core.usage import Usage


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What many jobs of a run have in common."""

    provider: str
    endpoint: str  #: path at the vendor, as "/v1/chat/completions"
    model: str  #: the vendor's own name
    wire_version: str = ""  #: protocol version the vendor needs for these jobs, if it has several
    schema: str | None = None  #: JSON text of the schema the answer must fit
    schema_name: str | None = None
    citations: bool = False
    quotes: bool = False  #: answers have a quote with each field


class JobRow(msgspec.Struct, frozen=True, gc=False):
    """A job ready to be sent, as the state file keeps it."""

    seq: int
    id: str
    shape: int
    body: bytes  #: JSON, as every route sends it
    key: bytes | None  #: fingerprint, where the id is the user's own
    metadata: bytes | None  #: JSON
    input_bound: int  #: tokens
    output_bound: int  #: tokens
    cost_bound: int  #: 1e-12 USD
    attachments: tuple[Attachment, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of the request with all of its attachments in it, as base64."""
        return len(self.body) + attached_size(self.attachments)


def attached_size(attachments: Sequence[Attachment]) -> int:
    """Bytes of these files as base64."""
    return sum(map(inline_bytes, attachments)) if attachments else 0


class Bounds(msgspec.Struct, frozen=True, gc=False):
    """What a job's next attempt can use and cost, where that is more than its first could."""

    size_bytes: int
    input_bound: int  #: tokens
    cost_bound: int  #: 1e-12 USD


class Outcome(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How one attempt of a job ended; `status` PENDING means that it goes again."""

    seq: int
    status: JobStatus
    attempt: int
    token: str | None = None  #: the submission it came with
    reason: Reason | None = None
    error: str | None = None
    cost: int = 0  #: 1e-12 USD
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str | None = None
    request_id: str | None = None
    text: str | None = None
    parsed: bytes | None = None  #: JSON
    extra: bytes | None = None  #: JSON: tool calls, thinking, citations, …
    finished_us: int = 0  #: µs since the epoch, UTC
    uncertain: int = 0  #: 1e-12 USD that a lost call may have cost
    again: Bounds | None = None  #: of the next attempt; None: those of this one


def reopened(seq: int, now_us: int) -> Outcome:
    """What makes a job that has ended pending again, with fresh attempts."""
    return Outcome(seq=seq, status=JobStatus.PENDING, attempt=0, finished_us=now_us)


#: note of a submission whose batch we asked the vendor to cancel
CANCEL_ASKED: Final = "cancelled by the run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A chunk a provider has, or may have."""

    token: str  #: ours; the vendor's copy of it is how an orphan is found
    provider: str
    endpoint: str
    model: str
    wire_version: str
    seqs: array[int]  #: the jobs, in the order of the uploaded file
    status: SubmissionStatus
    intended_us: int  #: µs since the epoch, UTC
    input_tokens: int = 0  #: upper bound, for the vendor's queue limits
    size_bytes: int = 0
    remote_id: str | None = None
    input_ref: str | None = None  #: the uploaded file's id, where the vendor has such a thing
    sent_us: int | None = None  #: when its last create call left, or its answer was missed
    accepted_us: int | None = None
    note: str | None = None  #: why it is unresolved or dropped
    route: str = "batch"  #: or "live": jobs that may be in flight, one call each

    def moved(self, status: SubmissionStatus, **changes: Any) -> Submission:
        """The same submission in another state."""
        return replace(self, status=status, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """What a vendor takes in one batch and in its queue."""

    requests: int
    size_bytes: int
    one_model: bool
    #: enqueued input tokens per model, None: unknown or unlimited
    queue_tokens: int | None = None
    #: requests waiting in all batches together
    queue_requests: int | None = None
    #: texts to embed, of all requests of a batch
    embedding_inputs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounts:
    """How far a vendor is with a batch."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        """Requests that have ended, well or not."""
        return self.succeeded + self.failed
