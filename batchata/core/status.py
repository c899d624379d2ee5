"""The states of jobs and submissions, and the moves between them."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from batchata.core.errors import StateError


class JobStatus(StrEnum):
    """Where a job is; the last four are final."""

    PENDING = "pending"
    SUBMITTED = "submitted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """True when the job will not move again in this run."""
        return self not in (JobStatus.PENDING, JobStatus.SUBMITTED)


PENDING, SUBMITTED, SUCCEEDED, FAILED, CANCELLED, SKIPPED = JobStatus

#: the status as one byte, for tables of a million jobs
CODES: Final[dict[JobStatus, int]] = {status: code for code, status in enumerate(JobStatus)}
STATUSES: Final[tuple[JobStatus, ...]] = tuple(JobStatus)

MOVES: Final[dict[JobStatus, frozenset[JobStatus]]] = {
    PENDING: frozenset({SUBMITTED, SUCCEEDED, FAILED, SKIPPED, CANCELLED}),
    SUBMITTED: frozenset({PENDING, SUCCEEDED, FAILED, CANCELLED}),
    SUCCEEDED: frozenset(),
    # a later run may ask again what did not succeed
    FAILED: frozenset({PENDING}),
    CANCELLED: frozenset({PENDING}),
    SKIPPED: frozenset({PENDING}),
}


def move(old: JobStatus, new: JobStatus) -> JobStatus:
    """Return `new`, or raise StateError when the move is not in the table."""
    if new not in MOVES[old]:
        raise StateError(f"a job cannot go from {old} to {new}")
    return new


class SubmissionStatus(IntEnum):
    """Where a submission is, as written in the state file."""

    INTENDED = 0  #: written down, nothing sent that could cost
    CREATING = 1  #: the create call may have left
    ACCEPTED = 2  #: the vendor's id is known
    UNRESOLVED = 3  #: the vendor may have it and cannot tell yet
    COLLECTED = 4  #: every answer is in the state file
    DROPPED = 5  #: the vendor surely does not have it; its jobs are free again

    @property
    def is_open(self) -> bool:
        """True while the submission may hold answers or money."""
        return self < SubmissionStatus.COLLECTED


class RemoteState(StrEnum):
    """A vendor's batch in our words; the last four are final."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True when the vendor will not change the batch any more."""
        return self in FINAL_REMOTE_STATES


FINAL_REMOTE_STATES: Final = frozenset(
    {RemoteState.COMPLETED, RemoteState.EXPIRED, RemoteState.CANCELLED, RemoteState.FAILED}
)
