"""What a run knows: the fold of its durable events, small enough for a million jobs."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from batchata.core.budget import CostTracker
from batchata.core.errors import StateError
from batchata.core.events import (
    Durable,
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
    UploadIntended,
    UploadMoved,
)
from batchata.core.result import Reason
from batchata.core.status import CODES, STATUSES, JobStatus, SubmissionStatus, move
from batchata.core.submission import Bounds, JobRow, Outcome, Shape, Submission
from batchata.core.upload import Upload
from batchata.core.usage import Usage

_PENDING = CODES[JobStatus.PENDING]
_SUBMITTED = CODES[JobStatus.SUBMITTED]

_REASONS = tuple(Reason)
_REASON_CODES = {reason: code for code, reason in enumerate(_REASONS, 1)}


def reason_code(reason: Reason | str | None) -> int:
    """A reason as one byte, 0 for none."""
    return _REASON_CODES[Reason(reason)] if reason else 0


class RunState:
    """Jobs as columns of numbers indexed by seq, submissions as values, money as a tracker.

    Pure bookkeeping: no clock, no disk, no network.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.status = bytearray()
        self.attempts = bytearray()
        self.reason = bytearray()  #: code of the last outcome's reason, 0: none
        self.shape_of = array("H")
        self.size_bytes = array("Q")
        self.input_bound = array("Q")
        self.cost_bound = array("Q")
        self.wanted = bytearray()  #: 1 for the jobs that this run answers for
        self.submissions: dict[str, Submission] = {}
        self.left: dict[str, int] = {}  #: jobs of an open submission without an outcome
        self.held: dict[str, int] = {}  #: money of an open submission, 1e-12 USD
        self.spent_by: dict[str, int] = {}  #: what this process saw of a submission's cost
        self.paid: dict[int, int] = {}  #: by seq, what attempts without a usable answer cost
        #: by seq, how often a pending job's answers did not fit: it is asked with the last of them
        self.reasks: dict[int, int] = {}
        self.has_reopened = False  #: jobs with a final result are asked again
        self.uploads: dict[str, Upload] = {}  #: by token
        self.usage = Usage()
        self.cost = CostTracker()
        self.counts = [0] * len(STATUSES)  #: of wanted jobs

    def __len__(self) -> int:
        return len(self.status)

    def apply(self, event: Durable) -> None:
        """Take one event in."""
        match event:
            case ShapeAdded():
                self._add_shape(event.number, event.shape)
            case JobsAdded():
                for row in event.rows:
                    self.add_job(row)
            case SubmissionIntended():
                self._intend(event.submission)
            case SubmissionMoved():
                self._move(event)
            case OutcomesRecorded():
                self._collect(event)
            case LimitSet():
                self.cost.limit = event.limit
            case UploadIntended():
                self.uploads[event.upload.token] = event.upload
            case UploadMoved():
                self._move_upload(event)
            case _:
                assert_never(event)

    def add_job(self, row: JobRow) -> None:
        """One more job, wanted by this run; a known seq is a new question under an old id."""
        if row.seq == len(self.status):
            self.status.append(_PENDING)
            self.attempts.append(0)
            self.reason.append(0)
            self.wanted.append(1)
            self.shape_of.append(row.shape)
            self.size_bytes.append(row.size_bytes)
            self.input_bound.append(row.input_bound)
            self.cost_bound.append(row.cost_bound)
            self.counts[_PENDING] += 1
            return
        if row.seq > len(self.status) or self.status[row.seq] == _SUBMITTED:
            raise StateError(f"job {row.seq} cannot be added to {len(self.status)} jobs")
        self.shape_of[row.seq] = row.shape
        self.size_bytes[row.seq] = row.size_bytes
        self.input_bound[row.seq] = row.input_bound
        self.cost_bound[row.seq] = row.cost_bound
        self.attempts[row.seq] = 0
        self.reasks.pop(row.seq, None)
        self._reopen(row.seq)

    def want(self, seq: int) -> None:
        """Count a known job among those this run answers for."""
        if not self.wanted[seq]:
            self.wanted[seq] = 1
            self.counts[self.status[seq]] += 1

    def wants(self, seqs: Iterable[int]) -> bool:
        """True when this run answers for all of these jobs."""
        return all(map(self.wanted.__getitem__, seqs))

    def status_of(self, seq: int) -> JobStatus:
        """Status of one job."""
        return STATUSES[self.status[seq]]

    def is_pending(self, seq: int) -> bool:
        """True for a job that may be sent."""
        return self.status[seq] == _PENDING

    def reason_of(self, seq: int) -> Reason | None:
        """Why the job's last attempt gave no usable answer."""
        code = self.reason[seq]
        return _REASONS[code - 1] if code else None

    def count(self, status: JobStatus) -> int:
        """Wanted jobs of this status."""
        return self.counts[CODES[status]]

    def pending(self) -> Iterator[int]:
        """Seqs of wanted jobs that may be sent, in order."""
        status, wanted = self.status, self.wanted
        seq = status.find(_PENDING)
        while seq >= 0:
            if wanted[seq]:
                yield seq
            seq = status.find(_PENDING, seq + 1)

    def paid_before(self, outcome: Outcome) -> int:
        """What a job's attempts before this last one cost, 1e-12 USD."""
        paid = self.paid.get(outcome.seq, 0)
        return paid if outcome.status is JobStatus.SUCCEEDED else paid - outcome.cost

    def open_submissions(self) -> list[Submission]:
        """Submissions that may still hold answers or money, oldest first."""
        return [self.submissions[token] for token in self.left]

    @property
    def batches(self) -> int:
        """Submissions that are batches; a live run writes down many small ones of its own."""
        return sum(each.route == "batch" for each in self.submissions.values())

    def unsettled(self, token: str) -> list[int]:
        """Jobs of a submission that have no outcome yet."""
        return [seq for seq in self.submissions[token].seqs if self.status[seq] == _SUBMITTED]

    def known_remote_ids(self, provider: str) -> frozenset[str]:
        """Ids of this provider's batches that belong to submissions we know of."""
        return frozenset(
            each.remote_id
            for each in self.submissions.values()
            if each.remote_id and each.provider == provider
        )

    def bounds_of(self, seqs: Iterable[int]) -> int:
        """Upper bound of what these jobs cost, 1e-12 USD."""
        bound = self.cost_bound
        return sum(bound[seq] for seq in seqs)

    def _add_shape(self, number: int, shape: Shape) -> None:
        if number != len(self.shapes):
            raise StateError(f"shape {number} came after {len(self.shapes)} shapes")
        self.shapes.append(shape)

    def _intend(self, submission: Submission) -> None:
        money = self.bounds_of(submission.seqs)
        if not self.cost.reserve(money):
            raise StateError(
                f"submission {submission.token} would reserve {money} over the limit "
                f"{self.cost.limit} (spent {self.cost.spent}, reserved {self.cost.reserved})"
            )
        self.submissions[submission.token] = submission
        self.left[submission.token] = len(submission.seqs)
        self.held[submission.token] = money
        for seq in submission.seqs:
            self._set(seq, _SUBMITTED)

    def _move(self, event: SubmissionMoved) -> None:
        changes = {
            name: value
            for name in ("remote_id", "input_ref", "sent_us", "accepted_us", "note")
            if (value := getattr(event, name)) is not None
        }
        if event.status is SubmissionStatus.DROPPED and event.token in self.left:
            for seq in self.unsettled(event.token):
                self._set(seq, _PENDING)
            self._close(event.token, event.status)
        self.submissions[event.token] = self.submissions[event.token].moved(event.status, **changes)

    def _move_upload(self, event: UploadMoved) -> None:
        old = self.uploads[event.token]
        self.uploads[event.token] = replace(
            old,
            status=event.status,
            file_id=event.file_id or old.file_id,
            expires_us=old.expires_us if event.expires_us is None else event.expires_us,
        )

    def _collect(self, event: OutcomesRecorded) -> None:
        for outcome in event.outcomes:
            self._finish(outcome)
        if event.closes is not None:
            self._close(event.closes, SubmissionStatus.COLLECTED)

    def _finish(self, outcome: Outcome) -> None:
        seq, token = outcome.seq, outcome.token
        if token is not None and outcome.cost:
            self.spent_by[token] = self.spent_by.get(token, 0) + outcome.cost
        if token is not None and token in self.left and self.status[seq] == _SUBMITTED:
            bound = self.cost_bound[seq]
            self.cost.settle(bound, outcome.cost)
            self.left[token] -= 1
            self.held[token] -= bound
        elif outcome.cost:
            self.cost.spent += outcome.cost
        if outcome.cost and outcome.status is not JobStatus.SUCCEEDED:
            self.paid[seq] = self.paid.get(seq, 0) + outcome.cost
        if outcome.uncertain:
            self.cost.doubt(outcome.uncertain)
        self.usage += outcome.usage
        self.count_reasks(seq, outcome.status, outcome.attempt, outcome.reason)
        if outcome.again is not None:
            self._rebound(seq, outcome.again)
        self.attempts[seq] = outcome.attempt
        if outcome.reason or outcome.status is not JobStatus.PENDING:
            self.reason[seq] = reason_code(outcome.reason)
        if outcome.status is JobStatus.PENDING:
            self._reopen(seq)
        else:
            self._set(seq, CODES[outcome.status])

    def _reopen(self, seq: int) -> None:
        old = self.status_of(seq)
        if old.is_final:
            move(old, JobStatus.PENDING)
            self.has_reopened = True
        self._set(seq, _PENDING)

    def count_reasks(
        self, seq: int, status: JobStatus, attempt: int, reason: Reason | str | None
    ) -> None:
        """Count refused answers asked for again; a final status, or attempt 0, starts over."""
        if status is not JobStatus.PENDING or not attempt:
            self.reasks.pop(seq, None)
        elif reason == Reason.INVALID_ANSWER:
            self.reasks[seq] = self.reasks.get(seq, 0) + 1

    def _rebound(self, seq: int, bounds: Bounds) -> None:
        self.size_bytes[seq] = bounds.size_bytes
        self.input_bound[seq] = bounds.input_bound
        self.cost_bound[seq] = bounds.cost_bound

    def _close(self, token: str, status: SubmissionStatus) -> None:
        held = self.held.pop(token, 0)
        self.left.pop(token, None)
        if held:
            self.cost.release(held)
        submission = self.submissions[token]
        self.submissions[token] = replace(submission, status=status)

    def _set(self, seq: int, code: int) -> None:
        if self.wanted[seq]:
            self.counts[self.status[seq]] -= 1
            self.counts[code] += 1
        self.status[seq] = code
