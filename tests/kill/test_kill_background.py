"""A run in the background is killed, and without the user's word nothing is begun twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kill_arena import Arena
from kill_plans import PLANS

POINTS = 8


def test_a_killed_run_begins_no_response_twice_unless_it_is_told_to(killing: Arena) -> None:
    plan = replace(PLANS["background"], on_unresolved="wait")
    found = killing.baseline(plan)

    for point in found.sample(POINTS):
        folder = killing.new_case(plan)
        killing.run(plan, folder, kill=point)
        outcome = killing.run(plan, folder)

        counts = Counter(call.content for call in killing.ledger().live)
        assert max(counts.values(), default=0) <= 1, f"killed at {point}: begun twice"
        ends = Counter(row[1] for row in outcome.results.values())
        unresolved = int(outcome.report["status"]["batches_unresolved"])
        assert ends["succeeded"] + unresolved == plan.jobs, f"killed at {point}: {ends}"
        assert unresolved <= 3, f"killed at {point}: more than were on their way"
