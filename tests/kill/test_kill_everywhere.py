"""A process is killed wherever it touches the world, and the same script runs again."""

from __future__ import annotations

import os
import random

import pytest
from kill_arena import Arena, Baseline, BrokenPromiseError, Point
from kill_plans import FIRST, PLANS, SAMPLE
from thoroughness import IS_THOROUGH

#: every point of every plan, instead of a sample of them
IS_WHOLE = bool(os.environ.get("KILL_EVERYWHERE"))
NAMES = tuple(PLANS) if IS_WHOLE or IS_THOROUGH else FIRST
#: one of so many points of the sample is tried, all of them where THOROUGH is set
ONE_IN = 1 if IS_THOROUGH else 5
#: each test tries a share of them, and has an undisturbed run of its own to compare with
SHARES = 2 if IS_THOROUGH else 1
#: so many of the cases are killed once more, at a point of the second run
TWICE_IN = 6


def points_of(found: Baseline) -> list[Point]:
    """The points of a plan that are tried: all, or some of each kind of place."""
    if IS_WHOLE:
        return found.points
    return found.sample(SAMPLE[found.plan.name])[::ONE_IN]


def kill_and_run_again(arena: Arena, found: Baseline, point: Point, *, twice: bool) -> bool:
    """One case; False when this run did not come by the point."""
    folder = arena.new_case(found.plan)
    outcome = arena.run(found.plan, folder, kill=point)
    was_killed = outcome.was_killed
    if was_killed and twice:
        again = random.Random(repr(point)).choice(found.points)
        outcome = arena.run(found.plan, folder, kill=again)
    if outcome.was_killed:
        outcome = arena.run(found.plan, folder)
    arena.check(found, folder, outcome)
    return was_killed


@pytest.mark.sampled
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", NAMES)
def test_a_run_killed_anywhere_bills_no_job_twice_and_loses_no_answer(
    killing: Arena, name: str, share: int
) -> None:
    found = killing.baseline(PLANS[name])
    points = points_of(found)[share::SHARES]

    broken = []
    killed = 0
    for number, point in enumerate(points):
        try:
            twice = number % TWICE_IN == 0
            killed += kill_and_run_again(killing, found, point, twice=twice)
        except BrokenPromiseError as error:
            broken.append(f"killed at {point}: {error}")

    assert not broken, "\n\n".join(broken[:5])
    assert killed >= 0.8 * len(points), "most runs did not come by their point"


def test_enough_places_are_tried() -> None:
    assert sum(SAMPLE[name] for name in PLANS) >= 300
