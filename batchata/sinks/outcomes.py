"""Turns recorded outcomes into the results that users see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from batchata.core.assemble import Bind, job_result
from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.core.submission import Outcome
from batchata.ports import Store


def results_of(
    outcomes: Sequence[Outcome],
    store: Store,
    state: RunState,
    bind: Bind,
    paid_before: Callable[[Outcome], int] = lambda _: 0,
) -> Iterator[JobResult]:
    """The result of each outcome; `paid_before` adds what earlier attempts cost, in 1e-12 USD."""
    seqs = [outcome.seq for outcome in outcomes]
    ids, metadata = store.ids(seqs), store.metadata(seqs)
    for outcome, job_id in zip(outcomes, ids, strict=True):
        number = state.shape_of[outcome.seq]
        yield job_result(
            outcome,
            job_id,
            number,
            state.shapes[number],
            state.submissions.get(outcome.token) if outcome.token else None,
            metadata.get(outcome.seq),
            bind,
            paid_before(outcome),
        )
