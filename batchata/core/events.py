"""Things that happened. The state file keeps them, watchers are told of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchata.core.status import RemoteState, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, RequestCounts, Shape, Submission
from batchata.core.upload import Upload, UploadStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeAdded:
    """A new kind of job, under the number that its jobs name."""

    number: int
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsAdded:
    """Jobs are in the state file and may be sent; a known seq is replaced."""

    rows: list[JobRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionIntended:
    """A chunk will be sent: written down, with its money, before anything leaves."""

    submission: Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionMoved:
    """A submission is in another state; fields that are None stay as they were."""

    token: str
    status: SubmissionStatus
    remote_id: str | None = None
    input_ref: str | None = None
    sent_us: int | None = None
    accepted_us: int | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomesRecorded:
    """Attempts that ended; with `closes` the submission is collected in the same breath."""

    outcomes: list[Outcome]
    closes: str | None = None  #: token


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """A run began with this cost limit (1e-12 USD, None: no limit)."""

    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadIntended:
    """A file will be brought to a vendor: written down before anything leaves."""

    upload: Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadMoved:
    """An upload is in another state; fields that are None stay as they were."""

    token: str
    status: UploadStatus
    file_id: str | None = None
    expires_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteProgress:
    """The vendor told how far a batch is; nothing of it is kept on disk."""

    token: str
    state: RemoteState
    counts: RequestCounts = field(default_factory=RequestCounts)
    word: str = ""  #: the vendor's own status word


Durable = (
    ShapeAdded
    | JobsAdded
    | SubmissionIntended
    | SubmissionMoved
    | OutcomesRecorded
    | LimitSet
    | UploadIntended
    | UploadMoved
)
Event = Durable | RemoteProgress
