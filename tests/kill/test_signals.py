"""A run is asked to stop: nothing is sent after that, and nothing that was sent is lost."""

from __future__ import annotations

import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kill_arena import Arena, Baseline, Outcome
from kill_plans import Plan

from batchata.gateway import HttpFault, Scenario

#: two batches at a time, so that a run that is not stopped goes on creating them
LONG = Plan(
    name="long",
    jobs=16,
    items_per_batch=2,
    max_parallel_batches=2,
    scenario=Scenario(latency_seconds=60),
)
SLOW_CREATE = HttpFault(action="slow", route="*.batches.create", times=None, seconds=2.2)
HANGING_CREATE = HttpFault(action="hang_after", route="*.batches.create", skip=1, seconds=60)
#: three live calls of each vendor at a time
LIVE_SECONDS = 3.5
SLOW_LIVE = replace(
    LONG,
    name="slow live",
    route="live",
    has_fixed_batches=False,
    scenario=Scenario(http=(HttpFault(action="slow", times=None, seconds=LIVE_SECONDS),)),
)
#: calls that had left when the signal came reach the vendor later; less than a batch takes
IN_FLIGHT_SECONDS = 30.0
#: what a busy machine may add; the two seconds themselves are held to in virtual time
BUSY_SECONDS = 25.0
EXIT_SECONDS = 2.0 + BUSY_SECONDS


def signalled_at(folder: Path) -> float:
    """When the first signal was sent."""
    return min(float(path.name.partition("-")[2]) for path in folder.glob("signal-*"))


def late_creates(arena: Arena, folder: Path) -> list[str]:
    """Create calls that reached the sandbox after the signal."""
    limit = signalled_at(folder) + IN_FLIGHT_SECONDS
    return [
        each["route"]
        for each in arena.requests()
        if each["route"].endswith("batches.create") and each["at"] > limit
    ]


def late_calls(arena: Arena, folder: Path) -> int:
    """Live calls that reached the sandbox after the signal, when others had their answers."""
    limit = signalled_at(folder) + LIVE_SECONDS - 0.5
    return sum(each["at"] > limit for each in arena.requests())


def says_how_to_go_on(arena: Arena, folder: Path) -> bool:
    """True when the run said what it leaves at the vendor, and the command to go on."""
    said = arena.log_of(folder)
    is_told = re.search(r"\d+ batch(es go| goes) on at the vendor", said) is not None
    return is_told and f"batchata resume {folder / 'state.db'}" in said


def stop(arena: Arena, plan: Plan, **order: Any) -> tuple[Path, Outcome]:
    """Run a script that is stopped by the order."""
    folder = arena.new_case(plan)
    return folder, arena.run(plan, folder, **order)


@pytest.fixture(scope="session")
def calm(killing: Arena) -> Baseline:
    """How the jobs end when nobody interferes and every vendor is quick."""
    return killing.baseline(replace(LONG, scenario=Scenario(), has_fixed_batches=False))


def finish(arena: Arena, calm: Baseline, folder: Path) -> None:
    """What was in flight has ended; the same script runs again and every promise is kept."""
    arena.play(replace(calm.plan, scenario=Scenario(clock_skew_seconds=61)))
    arena.check(calm, folder, arena.run(calm.plan, folder))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_creating_and_the_next_run_collects_what_is_in_flight(
    killing: Arena, calm: Baseline, number: signal.Signals
) -> None:
    folder, outcome = stop(killing, LONG, signals=[(0.1, number)])

    assert not late_creates(killing, folder)
    assert says_how_to_go_on(killing, folder), killing.log_of(folder)
    assert outcome.answer["ended_at"] - signalled_at(folder) < EXIT_SECONDS
    assert 1 <= len(killing.ledger().batches) < 8
    if number == signal.SIGINT:
        assert outcome.report["error"].startswith("KeyboardInterrupt")
    else:
        assert outcome.answer["signal"] == signal.SIGTERM
    finish(killing, calm, folder)


def test_a_call_in_flight_is_waited_for_and_its_batch_is_kept(
    killing: Arena, calm: Baseline
) -> None:
    plan = replace(LONG, scenario=Scenario(latency_seconds=60, http=(SLOW_CREATE,)))

    folder, outcome = stop(killing, plan, signals=[(0.2, signal.SIGINT)], signals_from="before")

    assert not late_creates(killing, folder)
    assert outcome.answer["ended_at"] - signalled_at(folder) < EXIT_SECONDS + 2.2
    finish(killing, calm, folder)


def test_a_second_interrupt_leaves_at_once_with_a_good_state_file(
    killing: Arena, calm: Baseline
) -> None:
    plan = replace(LONG, scenario=Scenario(http=(HANGING_CREATE,)))

    folder, outcome = stop(killing, plan, signals=[(0.2, signal.SIGINT), (0.3, signal.SIGINT)])

    assert outcome.report["error"].startswith("KeyboardInterrupt")
    assert outcome.answer["ended_at"] - signalled_at(folder) < 0.3 + 1.0 + BUSY_SECONDS
    finish(killing, calm, folder)


def test_the_time_limit_stops_creating_and_a_later_run_does_the_rest(
    killing: Arena, calm: Baseline
) -> None:
    plan = replace(LONG, time_limit_seconds=2)

    folder, outcome = stop(killing, plan)

    ends = {row[1] for row in outcome.report["results"]}
    created = [r["at"] for r in killing.requests() if r["route"].endswith("batches.create")]
    assert max(created) < created[0] + IN_FLIGHT_SECONDS
    assert says_how_to_go_on(killing, folder), killing.log_of(folder)
    assert "cancelled" in ends
    assert "pending" not in ends
    finish(killing, calm, folder)


def test_cancel_asks_the_vendors_and_ends_every_job(killing: Arena, calm: Baseline) -> None:
    folder, outcome = stop(killing, LONG, in_background=True, cancel_after=0.1)

    ledger = killing.ledger()
    ends = [row[1] for row in outcome.report["results"]]
    assert not late_creates(killing, folder)
    assert {batch.status for batch in ledger.batches} == {"cancelled"}
    assert set(ends) == {"cancelled"}
    finish(killing, calm, folder)


def test_an_interrupt_cancels_at_the_vendors_when_the_user_wants_that(
    killing: Arena, calm: Baseline
) -> None:
    plan = replace(LONG, on_stop="cancel")

    folder, outcome = stop(killing, plan, signals=[(0.1, signal.SIGINT)])

    assert outcome.answer["ended_at"] - signalled_at(folder) < EXIT_SECONDS
    assert {batch.status for batch in killing.ledger().batches} == {"cancelled"}
    finish(killing, calm, folder)


@pytest.fixture(scope="session")
def calm_live(killing: Arena) -> Baseline:
    """The same of live calls."""
    return killing.baseline(replace(SLOW_LIVE, scenario=Scenario()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_no_live_call_leaves_and_those_in_flight_are_waited_for(
    killing: Arena, calm_live: Baseline, number: signal.Signals
) -> None:
    folder, outcome = stop(killing, SLOW_LIVE, signals=[(0.2, number)], signals_from="before")

    answered = len(killing.ledger().live)
    assert not late_calls(killing, folder)
    assert 1 <= answered < SLOW_LIVE.jobs
    assert outcome.answer["ended_at"] - signalled_at(folder) < EXIT_SECONDS + LIVE_SECONDS
    if number == signal.SIGTERM:
        assert outcome.answer["signal"] == signal.SIGTERM
    finish(killing, calm_live, folder)
    assert len(killing.ledger().live) == SLOW_LIVE.jobs


def test_a_script_that_waits_in_its_own_code_is_left_at_a_signal(
    killing: Arena, calm_live: Baseline
) -> None:
    plan = replace(SLOW_LIVE, stalls_seconds=60, taken_in=4, scenario=Scenario())

    folder, outcome = stop(killing, plan, signals=[(0.1, signal.SIGTERM)])

    assert outcome.answer["signal"] == signal.SIGTERM
    assert outcome.answer["ended_at"] - signalled_at(folder) < EXIT_SECONDS
    finish(killing, calm_live, folder)
    assert len(killing.ledger().live) == SLOW_LIVE.jobs


def test_a_second_interrupt_leaves_live_calls_which_are_counted_as_possibly_billed(
    killing: Arena, calm_live: Baseline
) -> None:
    slow = HttpFault(action="slow", times=None, seconds=60)
    plan = replace(SLOW_LIVE, scenario=Scenario(http=(slow,)))

    twice = [(0.2, signal.SIGINT), (0.2, signal.SIGINT)]
    folder, outcome = stop(killing, plan, signals=twice, signals_from="before")

    assert outcome.report["error"].startswith("KeyboardInterrupt")
    assert outcome.answer["ended_at"] - signalled_at(folder) < 0.2 + 1.0 + BUSY_SECONDS
    killing.play(calm_live.plan)
    last = killing.run(calm_live.plan, folder)
    killing.check(calm_live, folder, last)
    assert 1 <= int(last.report["status"]["possibly_billed"]) <= SLOW_LIVE.jobs


def test_the_time_limit_stops_live_calls_and_a_later_run_does_the_rest(
    killing: Arena, calm_live: Baseline
) -> None:
    plan = replace(SLOW_LIVE, time_limit_seconds=2)

    folder, outcome = stop(killing, plan)

    ends = [row[1] for row in outcome.report["results"]]
    sent = [each["at"] for each in killing.requests()]
    assert max(sent) < sent[0] + LIVE_SECONDS  # there is no second round
    assert ends.count("succeeded") == len(killing.ledger().live) < SLOW_LIVE.jobs
    assert set(ends) == {"succeeded", "cancelled"}
    finish(killing, calm_live, folder)
    assert len(killing.ledger().live) == SLOW_LIVE.jobs
