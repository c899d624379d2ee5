"""A limit holds whatever runs beside what, and what it keeps back is done when it is raised."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from engine_lab import EngineLab
from fake_vendor import BOUND, GOOD, PRICE

from batchata.core.status import JobStatus, RemoteState

MakeLab = Callable[..., EngineLab]


def run_to_its_end(lab: EngineLab) -> list[JobStatus]:
    """Let all go well with the limit as it is; how the jobs end."""
    lab.start()
    for _ in range(500):
        if not lab.is_running:
            break
        for batch in lab.vendor.batches.values():
            if not batch.is_final:
                batch.finish(RemoteState.COMPLETED, dict.fromkeys(batch.job_ids, GOOD))
        while lab.is_running and lab.vendor.calls:
            lab.answer(0, "well")
            lab.check()
        if lab.is_running:
            lab.advance(10)
    state = lab.read()
    return [state.status_of(seq) for seq in range(len(state))]


@pytest.mark.parametrize("parallel", [1, 2, 5, 50])
def test_how_many_jobs_a_limit_pays_for_does_not_depend_on_what_runs_in_parallel(
    make_lab: MakeLab, parallel: int
) -> None:
    lab = make_lab(jobs=20, max_parallel_batches=parallel)
    lab.limit = 10 * PRICE + BOUND

    ends = run_to_its_end(lab)

    # each answer costs a quarter of what is set aside for it; at last too little is left for one
    assert ends == [JobStatus.SUCCEEDED] * 11 + [JobStatus.SKIPPED] * 9
    assert lab.read().cost.used_usd <= lab.limit


def test_a_later_run_with_a_higher_limit_does_what_was_skipped(make_lab: MakeLab) -> None:
    lab = make_lab(jobs=6)
    lab.limit = 2 * BOUND
    first = run_to_its_end(lab)
    lab.limit = Decimal(1)

    second = run_to_its_end(lab)

    assert first.count(JobStatus.SKIPPED) > 0
    assert second == [JobStatus.SUCCEEDED] * 6
    assert lab.read().cost.used_usd == 6 * PRICE


def test_spending_counts_over_all_runs_of_a_state_file(make_lab: MakeLab) -> None:
    lab = make_lab(jobs=4)
    run_to_its_end(lab)
    lab.jobs = lab.more_jobs(8)
    lab.limit = 4 * PRICE + BOUND

    ends = run_to_its_end(lab)

    assert ends.count(JobStatus.SUCCEEDED) == 5
