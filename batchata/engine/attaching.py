"""Taking up jobs of a state file where there is no script to name them."""

from __future__ import annotations

from typing import Final

from batchata.core.config import Attached
from batchata.core.events import OutcomesRecorded
from batchata.core.status import JobStatus
from batchata.core.submission import reopened
from batchata.engine.context import RunContext

_GROUP: Final = 1000
_UNSUCCESSFUL: Final = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.SKIPPED)


def attach(context: RunContext, what: Attached) -> None:
    """Make jobs of the state file the jobs of this run; those that failed become pending again."""
    state = context.state
    again: list[int] = []
    for seq in range(len(state)):
        status = state.status_of(seq)
        if what == "pending" or (what == "in_flight" and status is JobStatus.SUBMITTED):
            state.want(seq)
        elif what == "failed" and status in _UNSUCCESSFUL and state.size_bytes[seq]:
            state.want(seq)
            again.append(seq)
    now_us = context.now_us()
    for start in range(0, len(again), _GROUP):
        outcomes = [reopened(seq, now_us) for seq in again[start : start + _GROUP]]
        context.record(OutcomesRecorded(outcomes=outcomes))
