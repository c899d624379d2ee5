"""Nothing but a vendor's final word ends a batch, and nothing that a vendor has is given up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from engine_lab import EngineLab
from fake_vendor import BOUND, GOOD

from batchata.core.errors import AccountStoppedError
from batchata.core.status import JobStatus, RemoteState, SubmissionStatus
from batchata.core.usage import to_parts
from batchata.providers.anthropic import batch as anthropic_batch
from batchata.providers.openai import batch as openai_batch

MakeLab = Callable[..., EngineLab]


def the_only(lab: EngineLab) -> SubmissionStatus:
    """Status of the one submission, as the state file has it."""
    (submission,) = lab.read().submissions.values()
    return submission.status


def end_the_batch(lab: EngineLab) -> None:
    """The vendor's batch completes."""
    for batch in lab.vendor.batches.values():
        batch.finish(RemoteState.COMPLETED, dict.fromkeys(batch.job_ids, GOOD))


def test_hours_of_errors_do_not_end_a_batch(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")

    for _ in range(130):
        while lab.vendor.calls:
            lab.answer(0, "down")
        lab.advance(60)
    lab.finish()

    assert len(lab.vendor.batches) == 1
    assert lab.read().status_of(0) is JobStatus.SUCCEEDED


def test_a_vendor_that_asks_for_five_minutes_gets_them(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")
    lab.vendor.retry_after = 300

    lab.answer(0, "down")
    lab.advance(299)
    assert not lab.vendor.calls
    lab.advance(2)

    assert lab.calls_of("look")


def test_a_poll_that_never_ends_does_not_keep_a_stopped_run(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")

    lab.stop()
    lab.advance(2)

    assert not lab.is_running
    assert the_only(lab) is SubmissionStatus.ACCEPTED


def test_a_batch_that_the_vendor_does_not_know_any_more_is_never_sent_again(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")

    for _ in range(10):
        while lab.vendor.calls:
            lab.answer(0, "refused")
        lab.advance(30)

    assert not lab.is_running
    assert the_only(lab) is SubmissionStatus.ACCEPTED
    lab.finish()  # with the right key it is there
    assert len(lab.vendor.batches) == 1


def test_an_account_without_credit_stops_the_run_and_keeps_the_batch(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")

    lab.answer(0, "stopped")
    lab.advance(10)

    assert isinstance(lab.stopped_by, AccountStoppedError)
    assert the_only(lab) is SubmissionStatus.ACCEPTED


def test_results_that_the_vendor_keeps_back_are_asked_for_by_the_next_run(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")
    end_the_batch(lab)
    lab.until("download")

    for _ in range(10):
        while lab.vendor.calls:
            lab.answer(0, "denied")
        lab.advance(100)

    assert not lab.is_running
    assert the_only(lab) is SubmissionStatus.ACCEPTED
    lab.finish()
    lab.check_end()


def test_results_that_are_gone_count_as_billed_wherever_the_process_dies(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")
    end_the_batch(lab)

    for _ in range(4):  # each process hears it a few times and dies
        lab.until("download")
        lab.answer(0, "refused")
        lab.advance(200)
        assert lab.read().status_of(0) is JobStatus.SUBMITTED
        lab.kill()
        lab.start()
    for _ in range(5):
        lab.until("download")
        lab.answer(0, "refused")
        lab.advance(60)

    state = lab.read()
    assert not lab.is_running
    assert state.status_of(0) is JobStatus.FAILED
    assert (state.cost.reserved, state.cost.uncertain) == (0, to_parts(BOUND))
    assert len(lab.vendor.batches) == 1


def test_downloads_that_break_off_are_repeated_and_the_answers_counted_once(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(jobs=2)
    lab.start()
    lab.until("look")
    end_the_batch(lab)
    lab.until("download")

    for _ in range(5):
        lab.answer(0, "down")
        lab.advance(100)
    lab.finish()

    lab.check_end()


@pytest.mark.parametrize("word", ["paused", "queued_for_review", ""])
def test_a_status_word_that_nobody_knows_is_waited_on(word: str) -> None:
    counts = SimpleNamespace(
        total=1, completed=0, failed=0, processing=1, succeeded=0, errored=0, canceled=0, expired=0
    )
    batch = SimpleNamespace(
        id="b", status=word, processing_status=word, request_counts=counts, errors=None
    )

    assert openai_batch.read_batch(batch).state is RemoteState.RUNNING
    assert anthropic_batch.read_batch(batch).state is RemoteState.RUNNING
