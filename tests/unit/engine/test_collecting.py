"""Result files brought home: each job once, each answer paid once, nothing dropped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from engine_bench import ANSWER_COST, BOUND, Bench

from batchata.core.errors import ProviderRejectedError, ProviderUnavailableError
from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts
from batchata.ports import BatchLook
from batchata.testing.fake_codec import answer_body

LARGE = BatchLimits(requests=5_000, size_bytes=10**9, one_model=True)
DOWN = ProviderUnavailableError("the download broke off")


class Killed(BaseException):
    """The process ends here."""


class Spoiler:
    """Changes the lines of result files after they were downloaded."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, *, times: int = 99) -> None:
        self.left = times
        self.change = lambda lines: lines
        whole = type(bench.api).download

        async def download(api: object, remote_id: str, folder: Path) -> list[Path]:
            paths = await whole(bench.api, remote_id, folder)
            if self.left:
                self.left -= 1
                for path in paths:
                    lines = self.change(path.read_bytes().split(b"\n")[:-1])
                    path.write_bytes(b"\n".join(lines) + (b"\n" if lines else b""))
            return paths

        monkeypatch.setattr(type(bench.api), "download", download)


@pytest.fixture
def spoiler(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Spoiler:
    """Result files can be changed."""
    return Spoiler(bench, monkeypatch)


def test_lines_in_any_order_find_their_jobs(bench: Bench, spoiler: Spoiler) -> None:
    spoiler.change = lambda lines: lines[::-1]

    bench.add(*[BOUND] * 3).run()

    assert [bench.outcome(f"j{n}").text for n in range(3)] == ["hi 0", "hi 1", "hi 2"]


def test_a_line_that_comes_twice_counts_once(bench: Bench, spoiler: Spoiler) -> None:
    spoiler.change = lambda lines: [*lines, *lines]

    bench.add(*[BOUND] * 3).run()

    assert bench.state.cost.spent == 3 * ANSWER_COST
    assert bench.store.last_number == 3


def test_a_line_of_nobodys_is_passed_over(bench: Bench, spoiler: Spoiler) -> None:
    spoiler.change = lambda lines: [lines[0].replace(b"j0", b"ghost"), *lines]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.store.last_number == 3


def test_an_unreadable_line_with_its_id_fails_that_job_at_its_upper_bound(bench: Bench) -> None:
    bench.api.answer = lambda name, body: b'{"text": 5}' if name == "j1" else answer_body("hi")

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded", "failed", "succeeded"]
    assert (bench.outcome("j1").reason, bench.outcome("j1").cost) == (Reason.UNREADABLE, BOUND)
    assert len(bench.sent) == 1


def test_an_unreadable_line_without_an_id_fails_the_job_that_has_none(
    bench: Bench, spoiler: Spoiler
) -> None:
    spoiler.change = lambda lines: [lines[0], b"{garbage", lines[2]]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded", "failed", "succeeded"]
    assert bench.outcome("j1").reason is Reason.UNREADABLE
    assert "1 lines of batch fake-1" in (bench.outcome("j1").error or "")
    assert bench.outcome("j1").cost == BOUND


def test_files_that_are_not_complete_are_fetched_again(bench: Bench, spoiler: Spoiler) -> None:
    spoiler.left, spoiler.change = 2, lambda lines: lines[:1]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.api.calls.count("download") == 3
    assert bench.api.billed == ["j0", "j1", "j2"]


def test_paid_answers_that_are_late_in_the_file_are_waited_for(
    bench: Bench, spoiler: Spoiler
) -> None:
    spoiler.left, spoiler.change = 5, lambda lines: lines[:2]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.api.billed == ["j0", "j1", "j2"]
    assert bench.state.cost.spent == 3 * ANSWER_COST


def test_an_answer_that_the_vendor_counts_and_has_lost_is_taken_as_paid(
    bench: Bench, spoiler: Spoiler
) -> None:
    spoiler.left, spoiler.change = 7, lambda lines: lines[:2]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.outcome("j2").attempt == 2
    assert bench.state.cost.spent == 3 * ANSWER_COST + BOUND
    assert bench.state.paid == {2: BOUND}
    assert bench.api.billed.count("j2") == 2


def test_refusals_that_the_vendor_counts_are_waited_for_as_answers_are(
    bench: Bench, spoiler: Spoiler
) -> None:
    refusal = Failure(Reason.INVALID_REQUEST, "no")
    bench.api.answer = lambda name, body: refusal if name == "j2" else answer_body("hi")
    spoiler.left, spoiler.change = 1, lambda lines: lines[:2]

    bench.add(*[BOUND] * 3).run()

    assert bench.outcome("j2").reason is Reason.INVALID_REQUEST
    assert len(bench.sent) == 1


def test_a_missing_answer_that_the_vendor_does_not_count_costs_nothing(bench: Bench) -> None:
    seen: list[str] = []

    def answer(name: str, body: object) -> bytes | None:
        seen.append(name)
        return None if name == "j2" and seen.count("j2") == 1 else answer_body("hi")

    bench.api.answer = answer

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert bench.state.cost.spent == 3 * ANSWER_COST


def test_an_answer_without_usage_costs_its_upper_bound(bench: Bench) -> None:
    bench.api.answer = lambda name, body: answer_body("hi", usage=None)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.state.cost.spent == BOUND


@pytest.mark.parametrize(
    ("reason", "attempts", "cost"),
    [
        (Reason.SERVER_ERROR, 3, 0),
        (Reason.RATE_LIMITED, 3, 0),
        (Reason.EXPIRED, 3, 0),
        (Reason.VENDOR_CANCELLED, 3, 0),
        (Reason.INVALID_REQUEST, 1, 0),
    ],
)
def test_what_goes_again_is_what_cost_nothing_and_may_mend(
    bench: Bench, reason: Reason, attempts: int, cost: int
) -> None:
    bench.api.answer = lambda name, body: Failure(reason, "scripted")

    bench.add(BOUND).run()

    assert bench.statuses == ["failed"]
    assert (bench.outcome("j0").attempt, bench.outcome("j0").reason) == (attempts, reason)
    assert bench.state.cost.spent == cost


def test_an_item_that_says_the_account_is_empty_stops_the_run_and_goes_on_later(
    bench: Bench,
) -> None:
    bench.api.answer = lambda name, body: Failure(Reason.ACCOUNT, "no credit")
    bench.add(*[BOUND] * 6).set(max_parallel_batches=1).run()
    stopped = bench.statuses

    bench.api.answer = lambda name, body: answer_body("hi")
    again = bench.next().run()

    assert stopped == ["pending"] * 6
    assert bench.context.stop.error is not None
    assert again.statuses == ["succeeded"] * 6


def test_a_download_that_breaks_off_is_begun_again_for_as_long_as_it_takes(bench: Bench) -> None:
    bench.api.break_next("download", DOWN, times=30)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert bench.api.billed == ["j0"]


def test_a_wait_that_the_vendor_asked_for_once_is_kept_once(bench: Bench, spoiler: Spoiler) -> None:
    busy = ProviderUnavailableError("the vendor is busy", retry_after_seconds=5_000)
    bench.api.break_next("download", busy)
    spoiler.left, spoiler.change = 2, lambda lines: lines[:1]

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["succeeded"] * 3
    assert 5_000 < bench.clock.monotonic() < 10_000


def test_results_that_the_vendor_keeps_back_are_left_for_the_next_run(bench: Bench) -> None:
    bench.api.break_next("download", ProviderRejectedError("400", status=400), times=20)
    bench.add(BOUND).run()
    left = bench.statuses

    bench.api._breaks.clear()
    again = bench.next().run()

    assert left == ["submitted"]
    assert again.statuses == ["succeeded"]
    assert again.api.billed == ["j0"]


def test_many_results_are_settled_in_groups(bench: Bench) -> None:
    bench.api.limits = LARGE

    bench.add(*[BOUND] * 2_500).set(items_per_batch=None).run()

    commits = [event for event in bench.store.events if type(event).__name__ == "OutcomesRecorded"]
    assert set(bench.statuses) == {"succeeded"}
    assert len(commits) == 3


def dies_at_the_second_group(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run, and be killed before the second group of outcomes is written."""
    commit, commits = bench.store.commit, []

    def dies(*events: object) -> None:
        commits.extend(event for event in events if type(event).__name__ == "OutcomesRecorded")
        if len(commits) == 2:
            raise Killed
        commit(*events)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.store, "commit", dies)
    with pytest.raises(Killed):
        bench.run()


def test_a_process_that_dies_between_two_groups_settles_the_rest_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.api.limits = LARGE
    bench.add(*[BOUND] * 1_500).set(items_per_batch=None)
    dies_at_the_second_group(bench, monkeypatch)

    again = bench.next().run()

    assert set(again.statuses) == {"succeeded"}
    assert again.store.last_number == 1_500
    assert again.state.cost.spent == 1_500 * ANSWER_COST
    assert len(again.sent) == 1


def test_jobs_that_go_again_after_a_death_between_two_groups_go_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.api.limits = LARGE
    asked: Counter[str] = Counter()

    def expires_once(custom_id: str, request: dict[str, Any]) -> bytes | Failure:
        asked[custom_id] += 1
        is_first = asked[custom_id] == 1 and custom_id in ("j0", "j1400")
        return Failure(Reason.EXPIRED, "too late") if is_first else answer_body("hi")

    bench.api.answer = expires_once
    bench.add(*[BOUND] * 1_500).set(items_per_batch=None, max_parallel_batches=1)
    dies_at_the_second_group(bench, monkeypatch)

    again = bench.next().run()

    assert set(again.statuses) == {"succeeded"}
    assert asked.total() == 1_502
    assert again.state.cost.spent == 1_500 * ANSWER_COST


def test_without_raw_files_result_files_are_removed(bench: Bench) -> None:
    bench.context.keeps_raw = False

    bench.add(BOUND).run()

    assert list((bench.folder / "responses").iterdir()) == []
    assert list((bench.folder / "requests").iterdir()) == []


def test_counts_that_a_vendor_does_not_give_change_nothing(bench: Bench) -> None:
    bench.api.end_next(BatchLook(RemoteState.COMPLETED, RequestCounts(), "completed"))

    bench.add(*[BOUND] * 2).run()

    assert bench.statuses == ["succeeded"] * 2
    assert bench.state.cost.spent == 2 * ANSWER_COST


def test_a_cancelled_run_takes_the_vendors_cancellations_as_its_own(bench: Bench) -> None:
    bench.api.looks_needed = 10**6
    stop = bench.context.stop
    bench.clock.at(50, lambda: stop.ask("cancelled: by the user", cancels=True, stays=True))

    bench.add(*[BOUND] * 5).set(max_parallel_batches=1).run()

    assert bench.statuses == ["cancelled"] * 5
    assert bench.outcome("j0").reason is Reason.CANCELLED
    assert len(bench.sent) == 1
    assert bench.state.cost.reserved == 0


def test_a_vendor_that_is_down_is_asked_to_cancel_until_it_has_heard(bench: Bench) -> None:
    bench.api.looks_needed = 1_000
    bench.api.break_next("cancel", DOWN, times=3)
    stop = bench.context.stop
    bench.clock.at(50, lambda: stop.ask("cancelled: by the user", cancels=True, stays=True))

    bench.add(*[BOUND] * 3).run()

    assert bench.statuses == ["cancelled"] * 3
    assert bench.api.billed == []
    assert bench.clock.elapsed < 200


def test_a_cancellation_of_the_runs_own_is_no_try_though_its_answer_was_lost(
    bench: Bench,
) -> None:
    bench.api.looks_needed = 10**6
    bench.api.break_next("cancel", Killed(), after=True)
    bench.clock.at(50, lambda: bench.context.stop.ask("cancelled: by the user", cancels=True))
    with pytest.raises(Killed):
        bench.add(*[BOUND] * 3).set(max_attempts=1).run()

    bench.api.looks_needed = 1
    again = bench.next().run()

    assert again.statuses == ["succeeded"] * 3
    assert len(again.api.billed) == 3


def test_answers_of_a_batch_that_failed_in_the_end_are_collected(bench: Bench) -> None:
    bench.api.answer = lambda custom_id, request: None if custom_id == "j2" else answer_body("hi")
    counts = RequestCounts(total=3, succeeded=2, failed=1)
    failure = Failure(Reason.BATCH_FAILED, "the machine broke")
    bench.api.end_next(BatchLook(RemoteState.FAILED, counts, "failed", failure), None)

    bench.add(*[BOUND] * 3).set(max_attempts=1).run()

    assert bench.statuses == ["succeeded", "succeeded", "failed"]
    assert bench.state.cost.spent == 2 * ANSWER_COST
    assert "the machine broke" in (bench.outcome("j2").error or "")


def test_a_time_limit_ends_what_was_not_sent(bench: Bench) -> None:
    bench.api.looks_needed = 10**6

    bench.add(*[BOUND] * 5).set(max_parallel_batches=1, time_limit_seconds=100).run()

    assert bench.statuses == ["submitted"] * 3 + ["cancelled"] * 2
    assert bench.outcome("j4").reason is Reason.TIME_LIMIT
    assert bench.clock.elapsed == pytest.approx(100, abs=2)


def test_jobs_that_never_fit_are_skipped_with_the_limit_in_words(bench: Bench) -> None:
    bench.add(BOUND, 5 * BOUND, BOUND).limit(2 * BOUND).run()

    assert bench.statuses == ["succeeded", "skipped", "succeeded"]
    assert bench.outcome("j1").reason is Reason.COST_LIMIT
    assert "Cost limit exceeded" in (bench.outcome("j1").error or "")
