"""The live route at its cost limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from run_lab import PRICES, Lab

from batchata import Reason, Usage
from batchata.engine.clock import SystemClock


def test_jobs_that_never_fit_are_skipped_without_waiting(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = SystemClock.sleep

    async def watched(clock: SystemClock, seconds: float, *rest: Any) -> None:
        await sleep(clock, seconds, *rest)
        slept.append(seconds)

    monkeypatch.setattr(SystemClock, "sleep", watched)

    run = lab.chat(3).set_route("live").add_cost_limit(0.0000001).run()

    assert run.status()["skipped"] == 3
    assert max(slept, default=0) < 0.5


@pytest.mark.parametrize("tier", ["priority", "fast"])
def test_a_dearer_tier_is_reserved_at_its_own_price(lab: Lab, tier: str) -> None:
    plain = lab.chat(1).set_route("live").estimate()
    between = plain.worst_case_usd * Decimal("1.5")  # it costs twice as much
    batch = lab.chat(0).set_route("live").add_cost_limit(between)

    run = batch.add_job(prompt="question 0", id="q0", service_tier=tier).run()

    (skipped,) = run.results().skipped
    assert skipped.reason is Reason.COST_LIMIT
    assert lab.box.requests == []


CLAUDE = "claude-opus-5"


@pytest.mark.parametrize(("route", "tier"), [("live", "standard"), ("batch", "batch")])
def test_a_place_that_costs_more_is_set_aside_and_counted(lab: Lab, route: Any, tier: str) -> None:
    bound = lab.chat(1, CLAUDE).set_route(route).estimate().worst_case_usd
    dear = (
        lab.chat(0, CLAUDE)
        .set_route(route)
        .add_job(prompt="question 0", id="q0", inference_geo="us")
    )

    assert dear.estimate().worst_case_usd >= bound * Decimal("1.1")
    (result,) = dear.run().results().completed
    usage = Usage(result.input_tokens, result.output_tokens)
    plain = PRICES.card("anthropic", CLAUDE, tier).cost_usd(usage)
    assert result.cost_usd == plain * Decimal("1.1")
