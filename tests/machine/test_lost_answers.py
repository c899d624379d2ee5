"""Create calls whose answers were lost: looked for, and sent again only when that is sure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from engine_lab import EngineLab
from fake_vendor import BOUND, GOOD

from batchata.core.status import JobStatus, RemoteState, SubmissionStatus

MakeLab = Callable[..., EngineLab]


def lose_the_create(lab: EngineLab, how: str, hidden: float = 0.0) -> None:
    """Run up to the first create call, whose answer is lost."""
    lab.start()
    lab.until("create")
    lab.answer(lab.calls_of("create")[0], how, hidden)


def status_of(lab: EngineLab) -> SubmissionStatus:
    """Status of the first submission."""
    return next(iter(lab.state.submissions.values())).status


@pytest.mark.parametrize("is_blind", [False, True])
def test_a_batch_that_shows_up_late_is_adopted(make_lab: MakeLab, is_blind: bool) -> None:
    lab = make_lab(is_blind=is_blind)
    lose_the_create(lab, "lost after", hidden=50)

    lab.finish()

    assert len(lab.vendor.batches) == 1
    lab.check_end()


def test_a_batch_that_shows_up_a_little_too_late_is_adopted_all_the_same(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    lose_the_create(lab, "lost after", hidden=90)  # settle_seconds are 60

    lab.finish()

    assert len(lab.vendor.batches) == 1
    lab.check_end()


def test_a_create_call_long_after_its_intent_is_looked_for_by_its_own_time(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    lab.start()
    for _ in range(200):  # hours without a network, from the upload on
        while lab.vendor.calls:
            lab.answer(0, "down")
        lab.advance(60)
    lab.until("create")

    lab.answer(lab.calls_of("create")[0], "lost after", 50)
    lab.finish()

    assert len(lab.vendor.batches) == 1


def test_a_process_that_died_in_a_create_call_waits_for_the_listing(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("create")
    lab.advance(300)  # the call hangs
    token, job_ids = lab.vendor.calls[lab.calls_of("create")[0]].about
    lab.kill()
    lab.vendor.accept(token, job_ids, 50)

    lab.finish()

    assert len(lab.vendor.batches) == 1


def test_a_batch_that_surely_never_came_is_sent_again(make_lab: MakeLab) -> None:
    lab = make_lab()
    lose_the_create(lab, "lost before")

    lab.finish()

    assert len(lab.vendor.batches) == 1
    assert lab.read().status_of(0) is JobStatus.SUCCEEDED


def test_a_search_that_goes_on_is_told_once_and_what_comes_of_it(
    make_lab: MakeLab, caplog: pytest.LogCaptureFixture
) -> None:
    lab = make_lab()
    lose_the_create(lab, "lost before")

    lab.finish()

    told = [each.message for each in caplog.records if "is unresolved" in each.message]
    assert len(told) == 1
    assert "it is sent again in a few minutes" in told[0]


@pytest.mark.parametrize("policy", ["wait", "ask", "resubmit"])
def test_no_policy_sends_again_while_the_vendor_cannot_be_asked(
    make_lab: MakeLab, policy: str
) -> None:
    lab = make_lab(on_unresolved=policy)
    lose_the_create(lab, "lost after")

    for _ in range(100):
        while lab.vendor.calls:
            lab.answer(0, "down")
        lab.advance(60)

    assert status_of(lab) is SubmissionStatus.UNRESOLVED
    lab.finish()
    assert len(lab.vendor.batches) == 1


def test_the_default_waits_until_the_vendor_can_tell(make_lab: MakeLab) -> None:
    lab = make_lab(is_blind=True)
    lab.vendor.accept("foreign", ["other"])
    lose_the_create(lab, "lost before")

    for _ in range(100):
        while lab.vendor.calls:
            lab.answer(0, "well")
        lab.advance(60)

    assert status_of(lab) is SubmissionStatus.UNRESOLVED
    assert len(lab.vendor.batches) == 1
    lab.finish()
    assert lab.read().status_of(0) is JobStatus.SUCCEEDED


def test_ask_ends_the_run_and_leaves_the_batch_unresolved(make_lab: MakeLab) -> None:
    lab = make_lab(is_blind=True, on_unresolved="ask")
    lose_the_create(lab, "lost after")

    lab.until("find")
    lab.answer(0, "well")

    assert not lab.is_running
    (submission,) = lab.read().open_submissions()
    assert submission.status is SubmissionStatus.UNRESOLVED
    assert submission.note == "some have not ended"


def test_resubmit_sends_again_once_the_answer_has_had_its_time(make_lab: MakeLab) -> None:
    lab = make_lab(is_blind=True, on_unresolved="resubmit")
    lab.vendor.accept("foreign", ["other"])
    lose_the_create(lab, "lost before")

    lab.until("find")
    lab.answer(0, "well")
    assert not lab.calls_of("create")
    lab.advance(70)
    lab.until("create")

    assert lab.calls_of("create")


def test_a_refused_batch_of_the_same_file_is_not_taken_for_the_lost_one(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("look")
    batch = next(iter(lab.vendor.batches.values()))
    batch.is_queue_full = True
    batch.finish(RemoteState.FAILED, {})
    lab.until("create")  # the same file again

    lab.answer(lab.calls_of("create")[0], "lost after", 30)
    lab.finish()

    tokens = [batch.token for batch in lab.vendor.batches.values()]
    assert len(tokens) == len(set(tokens)) == 2


@pytest.mark.parametrize("how", ["lost before", "lost after"])
def test_an_upload_whose_answer_was_lost_is_found_by_its_name(make_lab: MakeLab, how: str) -> None:
    lab = make_lab()
    lab.start()
    lab.until("upload")
    lab.answer(lab.calls_of("upload")[0], how)

    lab.finish()

    assert len(lab.vendor.files) == 1


def test_an_upload_that_a_stop_leaves_without_a_batch_is_removed(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("upload")
    lab.stop()
    lab.answer(lab.calls_of("upload")[0], "well")
    lab.answer(lab.calls_of("forget")[0], "well")

    assert not lab.is_running
    assert not lab.vendor.files


def test_an_upload_that_a_dead_process_left_is_removed_by_the_next(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    lab.until("upload")
    lab.stop()
    lab.answer(lab.calls_of("upload")[0], "well")
    lab.kill()  # just before it removes the upload
    assert len(lab.vendor.files) == 1

    lab.finish()
    lab.advance(60)

    lab.check_end()
    assert len(lab.vendor.files) == len(lab.vendor.batches) == 1


def test_a_job_is_asked_once_where_all_goes_well(make_lab: MakeLab) -> None:
    lab = make_lab(jobs=5)
    lab.start()

    lab.finish()

    ends = [end for batch in lab.vendor.batches.values() for end in batch.ends.values()]
    assert ends == [GOOD] * 5


def test_a_batch_that_the_run_cancelled_costs_its_jobs_no_attempt(make_lab: MakeLab) -> None:
    lab = make_lab(max_attempts=1)
    lab.start()
    lab.until("look")
    lab.stop(cancels=True)
    lab.answer(lab.calls_of("cancel")[0], "well")
    lab.kill()

    lab.finish()

    assert lab.read().status_of(0) is JobStatus.SUCCEEDED


def test_money_that_an_unresolved_batch_holds_does_not_keep_back_what_still_fits(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(jobs=4, is_blind=True, on_unresolved="ask")
    lab.limit = 3 * BOUND
    lose_the_create(lab, "lost after")
    lab.until("find")
    lab.answer(0, "well")

    lab.until("look")

    assert sorted(len(batch.job_ids) for batch in lab.vendor.batches.values()) == [1, 2]
