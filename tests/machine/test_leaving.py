"""A run that is asked to stop leaves within two seconds, plus the create call in flight."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_lab import EngineLab
from fake_vendor import GOOD

from batchata.core.status import JobStatus, RemoteState, SubmissionStatus

MakeLab = Callable[..., EngineLab]
STOP_SECONDS = 2.0


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("kind", ["upload", "look", "download", "find"])
def test_a_vendor_that_does_not_answer_holds_no_stopped_run(
    make_lab: MakeLab, kind: str, cancels: bool
) -> None:
    lab = make_lab(jobs=4)
    lab.start()
    if kind == "find":
        lab.until("create")
        lab.answer(lab.calls_of("create")[0], "lost after")
    if kind == "download":
        lab.until("look")
        for batch in lab.vendor.batches.values():
            batch.finish(RemoteState.COMPLETED, dict.fromkeys(batch.job_ids, GOOD))
    lab.until(kind)
    while lab.calls_of("create"):
        lab.answer(lab.calls_of("create")[0], "well")

    lab.stop(cancels=cancels)
    lab.advance(STOP_SECONDS)

    assert not lab.is_running
    lab.finish()
    lab.check_end()


@pytest.mark.parametrize("cancels", [False, True])
def test_a_create_call_in_flight_is_waited_for_and_nothing_else(
    make_lab: MakeLab, cancels: bool
) -> None:
    lab = make_lab(jobs=2)
    lab.start()
    lab.until("create")

    lab.stop(cancels=cancels)
    lab.advance(300)
    assert lab.is_running
    lab.answer(lab.calls_of("create")[0], "well")
    lab.advance(STOP_SECONDS)  # the vendor answers nothing any more

    assert not lab.is_running
    statuses = {each.status for each in lab.read().submissions.values()}
    assert statuses == {SubmissionStatus.ACCEPTED}
    lab.finish()
    assert len(lab.vendor.batches) == 1


def test_answers_that_are_there_when_a_create_call_ends_late_are_fetched(make_lab: MakeLab) -> None:
    lab = make_lab(jobs=2)
    lab.start()
    lab.until("create")
    lab.stop()
    lab.advance(300)
    lab.answer(lab.calls_of("create")[0], "well")
    for batch in lab.vendor.batches.values():
        batch.finish(RemoteState.COMPLETED, dict.fromkeys(batch.job_ids, GOOD))

    lab.advance(0.5)
    lab.answer(lab.calls_of("look")[0], "well")
    lab.answer(lab.calls_of("download")[0], "well")
    lab.advance(STOP_SECONDS)

    assert not lab.is_running
    assert lab.read().status_of(0) is JobStatus.SUCCEEDED
