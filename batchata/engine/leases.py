"""Live jobs that may be in flight: written down before they leave, given back if they did not."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from batchata.core.document import Attachment
from batchata.core.events import Durable, OutcomesRecorded
from batchata.core.result import Reason
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Outcome, Shape, Submission
from batchata.engine.context import RunContext
from batchata.engine.reasking import requests


@dataclass(slots=True)
class Ask:
    """A job that may leave: written down, with its money set aside."""

    seq: int
    job_id: str
    token: str
    shape: Shape
    body: bytes  #: in which files are only marked
    attachments: tuple[Attachment, ...] = ()
    tries: int = 0  #: calls of it that failed without costing anything
    slowed: int = 0  #: calls of it that were told to wait
    waited: int = 0  #: calls of it that met an outage, and were no tries
    faulty_at: float = inf  #: when its first call met a fault of the server's
    sent_at: float = 0.0  #: when its last call left
    is_begun: bool = False  #: the vendor has it, or may have it: it is not called again
    tokens: int = 0  #: what that call was thought to take from a limit on tokens


class Leases:
    """The open leases of the live route: each a submission whose jobs may have left."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._open: dict[str, int] = {}  #: token → jobs without an outcome

    def intend(self, seqs: Sequence[int]) -> list[Submission]:
        """The submissions to write down before these jobs, all of one model, are sent."""
        return [self._submission(seqs, "live", SubmissionStatus.CREATING)]

    def _submission(self, seqs: Sequence[int], route: str, status: SubmissionStatus) -> Submission:
        shape = self._context.shape(seqs[0])
        return Submission(
            token=self._context.new_token(),
            provider=shape.provider,
            endpoint=shape.endpoint,
            model=shape.model,
            wire_version=shape.wire_version,
            seqs=array("I", seqs),
            status=status,
            intended_us=self._context.now_us(),
            route=route,
        )

    def adopt(self, submission: Submission) -> None:
        """Take over the jobs of a submission that an earlier process left."""
        self._open[submission.token] = self._context.state.left[submission.token]

    def drop(self, token: str) -> None:
        """The jobs of a submission are pending again without an outcome."""
        del self._open[token]

    def open(self, submission: Submission) -> Iterator[Ask]:
        """The jobs of a lease that was just written down, ready to leave."""
        context, seqs = self._context, submission.seqs
        self._open[submission.token] = len(seqs)
        attached = context.store.attachments(seqs)
        rows = zip(seqs, context.store.ids(seqs), requests(context, seqs), strict=True)
        for seq, job_id, body in rows:
            shape = context.shape(seq)
            yield Ask(seq, job_id, submission.token, shape, body, attached.get(seq, ()))

    def ended(self, outcomes: Sequence[Outcome]) -> list[Durable]:
        """Events for these outcomes; a lease closes with its last one."""
        if not outcomes:
            return []
        events: list[Durable] = [OutcomesRecorded(outcomes=list(outcomes))]
        for outcome in outcomes:
            token = outcome.token or ""
            self._open[token] -= 1
            if not self._open[token]:
                del self._open[token]
                events.append(OutcomesRecorded(outcomes=[], closes=token))
        return events

    def give_back(self, asks: Sequence[Ask]) -> None:
        """Jobs that did not leave are pending again."""
        if not asks:
            return
        context = self._context
        back = [
            Outcome(
                seq=ask.seq,
                status=JobStatus.PENDING,
                attempt=context.state.attempts[ask.seq],
                token=ask.token,
                error="the run stopped before it was sent",
                finished_us=context.now_us(),
            )
            for ask in asks
        ]
        context.record(*self.ended(back))

    def recover(self) -> None:
        """Leases of a process that died: their jobs go again, and may have been billed."""
        context = self._context
        for submission in context.state.open_submissions():
            if submission.route != "live":
                continue
            lost = [
                Outcome(
                    seq=seq,
                    status=JobStatus.PENDING,
                    attempt=context.state.attempts[seq],
                    token=submission.token,
                    reason=Reason.OUTCOME_UNKNOWN,
                    error="the process ended while the call may have been in flight",
                    uncertain=context.state.cost_bound[seq],
                    finished_us=context.now_us(),
                )
                for seq in context.state.unsettled(submission.token)
            ]
            context.record(OutcomesRecorded(outcomes=lost, closes=submission.token))
