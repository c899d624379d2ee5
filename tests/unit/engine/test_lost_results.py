"""Results that a vendor gives out no more: believed late, counted as billed, asked again never."""

from __future__ import annotations

import pytest
from engine_bench import ANSWER_COST, BOUND, Bench

from batchata.core.errors import ProviderRejectedError, ProviderUnavailableError
from batchata.core.events import OutcomesRecorded
from batchata.core.result import Reason
from batchata.core.submission import reopened

MINUTES = 60.0


def gone(status: int = 404) -> ProviderRejectedError:
    """What a vendor says of a file that it has no more."""
    return ProviderRejectedError(f"{status}: no such file", status=status)


@pytest.mark.parametrize("status", [404, 410])
def test_the_jobs_fail_with_the_reason_and_their_money_stays_counted(
    bench: Bench, status: int
) -> None:
    bench.api.break_next("download", gone(status), times=999)

    bench.add(BOUND, BOUND).run()

    outcome, cost = bench.outcome("j0"), bench.state.cost
    assert bench.statuses == ["failed", "failed"]
    assert outcome.reason is Reason.RESULTS_GONE
    assert outcome.error == (
        f"the vendor no longer gives out the results of batch fake-1: {status}: no such file"
    )
    assert (cost.spent, cost.reserved, cost.uncertain) == (0, 0, 2 * BOUND)


def test_it_is_believed_after_ten_minutes_and_not_before(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=999)

    bench.add(BOUND).run()

    assert 10 * MINUTES <= bench.clock.elapsed < 12 * MINUTES


def test_a_file_that_shows_up_late_is_collected(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=10)

    bench.add(BOUND).run()

    assert bench.statuses == ["succeeded"]
    assert (bench.state.cost.spent, bench.state.cost.uncertain) == (ANSWER_COST, 0)


def test_an_outage_is_no_word_about_the_results(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=4)
    bench.api.break_next("download", ProviderUnavailableError("503", status=503), times=100)

    bench.add(BOUND).run()

    assert bench.clock.elapsed > 30 * MINUTES
    assert bench.statuses == ["succeeded"]


def test_a_later_run_believes_it_at_once_when_it_was_said_long_ago(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=999)
    bench.add(BOUND).set(time_limit_seconds=5).run()
    left = bench.statuses
    bench.clock.elapsed += 60 * MINUTES
    began = bench.clock.elapsed

    later = bench.next().set(time_limit_seconds=None).run()

    assert left == ["submitted"]
    assert later.statuses == ["failed"]
    assert bench.clock.elapsed - began < MINUTES


def test_no_later_run_asks_again_by_itself_and_the_limit_still_counts_it(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=999)
    bench.add(BOUND).limit(BOUND).run()

    later = bench.next().run()

    assert later.statuses == ["failed"]
    assert later.state.cost.uncertain == BOUND
    assert not later.state.cost.fits(1)
    assert len(later.sent) == 1


def test_the_users_word_asks_again(bench: Bench) -> None:
    bench.api.break_next("download", gone(), times=99)
    bench.add(BOUND).run()
    bench.api._breaks.clear()

    later = bench.next()
    later.context.record(OutcomesRecorded(outcomes=[reopened(0, 1)]))
    later.run()

    assert later.statuses == ["succeeded"]
    assert len(later.sent) == 2
    assert (later.state.cost.spent, later.state.cost.uncertain) == (ANSWER_COST, BOUND)


def test_results_kept_back_for_another_reason_are_given_up_on_the_users_word(bench: Bench) -> None:
    bench.api.break_next("download", ProviderRejectedError("400", status=400), times=5)

    bench.add(BOUND).set(on_unresolved="resubmit").run()

    assert bench.statuses == ["succeeded"]
    assert len(bench.sent) == 2
    assert bench.state.cost.uncertain == BOUND
