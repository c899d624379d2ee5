"""Uploads and create calls: repeated where that is safe, looked up where it is not."""

from __future__ import annotations

import pytest
from engine_bench import BOUND, Bench

from batchata.core.errors import (
    AccountStoppedError,
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.result import Reason
from batchata.core.status import SubmissionStatus
from batchata.ports import CannotTell, Lookup

DOWN = ProviderUnavailableError("the vendor is down")
LOST = OutcomeUnknownError("the answer was lost")


class Killed(BaseException):
    """The process ends here."""


def test_jobs_are_uploaded_created_and_answered(bench: Bench) -> None:
    bench.add(*[BOUND] * 4).run()

    assert bench.statuses == ["succeeded"] * 4
    assert bench.sent == [["j0", "j1", "j2"], ["j3"]]
    assert bench.outcome("j0").text == "hi 0"
    assert bench.state.cost.spent == 4 * 7


@pytest.mark.parametrize("call", ["upload", "create"])
def test_a_call_that_surely_did_nothing_is_repeated_with_growing_waits(
    bench: Bench, call: str
) -> None:
    bench.api.break_next(call, DOWN, times=9)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert len(bench.sent) == 1
    assert [seconds for seconds in bench.clock.sleeps if seconds >= 1][:9] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
        60,
    ]


def test_a_create_call_that_surely_did_nothing_is_not_looked_for(bench: Bench) -> None:
    bench.api.break_next("create", DOWN)
    bench.clock.at(0.1, lambda: bench.context.stop.ask("stopped"))
    bench.add(BOUND).run()

    again = bench.next().run()

    assert again.statuses == ["succeeded"]
    assert "find" not in bench.api.calls


def test_a_vendor_that_asks_for_a_wait_gets_it(bench: Bench) -> None:
    bench.api.break_next("create", ProviderUnavailableError("429", retry_after_seconds=300))

    bench.add(BOUND).run()

    assert bench.clock.elapsed >= 300
    assert bench.statuses == ["succeeded"]


def test_a_create_call_without_an_answer_is_found_and_not_repeated(bench: Bench) -> None:
    bench.api.break_next("create", LOST, after=True)

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert len(bench.sent) == 1
    assert bench.api.billed == ["j0", "j1", "j2"]


def test_a_create_call_that_did_nothing_goes_again_when_it_can_no_longer_show_up(
    bench: Bench,
) -> None:
    bench.api.break_next("create", LOST)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.api.billed == ["j0"]
    assert bench.api.calls.count("find") >= 2
    assert bench.clock.elapsed >= bench.config.settle_seconds


def test_a_batch_that_a_listing_shows_late_is_waited_for(bench: Bench) -> None:
    bench.api.break_next("create", LOST, after=True)
    bench.api.listings_missed = 5

    bench.add(BOUND).run()

    assert bench.api.billed == ["j0"]
    assert len(bench.sent) == 1


def test_a_search_that_fails_is_repeated(bench: Bench) -> None:
    bench.api.break_next("create", LOST, after=True)
    bench.api.break_next("find", DOWN, times=20)

    bench.add(BOUND).run()

    assert bench.api.billed == ["j0"]
    assert len(bench.sent) == 1


async def never_tells(*args: object) -> Lookup:
    """Stand in for a vendor whose listing says nothing."""
    return CannotTell("the listing is closed")


@pytest.mark.parametrize(
    ("wish", "batches", "statuses"), [("ask", 1, ["submitted"]), ("resubmit", 2, ["succeeded"])]
)
def test_what_the_vendor_cannot_tell_of_is_the_users_to_decide(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, wish: str, batches: int, statuses: list[str]
) -> None:
    monkeypatch.setattr(type(bench.api), "find", never_tells)
    bench.api.break_next("create", LOST, after=True)

    bench.add(BOUND).set(on_unresolved=wish).run()

    assert len(bench.sent) == batches
    assert bench.statuses == statuses


def test_by_default_what_cannot_be_told_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(bench.api), "find", never_tells)
    bench.api.break_next("create", LOST, after=True)

    bench.add(BOUND).set(time_limit_seconds=5_000).run()

    (left,) = bench.state.open_submissions()
    assert left.status is SubmissionStatus.UNRESOLVED
    assert len(bench.sent) == 1
    assert bench.state.cost.reserved == BOUND


def test_a_batch_that_the_vendor_refuses_fails_its_jobs_and_no_others(bench: Bench) -> None:
    bench.api.break_next("create", ProviderRejectedError("no such endpoint", status=404))

    bench.add(*[BOUND] * 5).set(max_parallel_batches=1).run()

    assert bench.statuses == ["failed"] * 3 + ["succeeded"] * 2
    assert bench.outcome("j0").reason is Reason.BATCH_FAILED
    assert bench.outcome("j0").error == "no such endpoint"
    assert bench.state.cost.spent == 2 * 7
    assert bench.state.cost.reserved == 0


def test_a_batch_too_large_for_the_vendor_goes_in_halves(bench: Bench) -> None:
    bench.api.break_next("create", ProviderRejectedError("too large", status=413))

    bench.add(*[BOUND] * 6).set(items_per_batch=6).run()

    assert bench.statuses == ["succeeded"] * 6
    assert [len(batch) for batch in bench.sent] == [3, 3]


def test_a_single_job_too_large_for_the_vendor_fails(bench: Bench) -> None:
    bench.api.break_next("create", ProviderRejectedError("too large", status=413))

    bench.add(BOUND).run()

    assert bench.statuses == ["failed"]


@pytest.mark.parametrize("call", ["upload", "create"])
def test_an_account_that_stops_leaves_its_jobs_pending_and_stops_the_run(
    bench: Bench, call: str
) -> None:
    bench.api.break_next(call, AccountStoppedError("no credit", status=429))

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["pending"] * 3
    assert isinstance(bench.context.stop.error, AccountStoppedError)
    assert bench.state.cost.reserved == 0
    assert bench.next().run().statuses == ["succeeded"] * 3


@pytest.mark.parametrize("call", ["upload", "create"])
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_in_a_call_loses_nothing_and_repeats_no_batch(
    bench: Bench, call: str, after: bool
) -> None:
    bench.api.break_next(call, Killed(), after=after)
    with pytest.raises(Killed):
        bench.add(*[BOUND] * 3).run()

    again = bench.next().run()

    assert again.statuses == ["succeeded"] * 3
    assert again.api.billed == ["j0", "j1", "j2"]
    assert again.state.cost.spent == 3 * 7
    assert again.state.cost.reserved == 0


def test_an_upload_without_a_batch_is_not_left_behind(bench: Bench) -> None:
    bench.api.break_next("create", ProviderRejectedError("no", status=400))

    bench.add(BOUND).run()

    assert bench.api.uploads == {}


def test_an_upload_that_cannot_be_removed_at_once_is_removed_before_the_run_ends(
    bench: Bench,
) -> None:
    bench.api.break_next("create", ProviderRejectedError("no", status=400))
    bench.api.break_next("forget", DOWN)

    bench.add(BOUND).run()

    assert bench.api.uploads == {}


def test_the_request_file_gets_the_batchs_name(bench: Bench) -> None:
    bench.add(BOUND).run()

    names = [path.name for path in (bench.folder / "requests").iterdir()]
    assert names == ["fake_batch_fake-1.jsonl"]
