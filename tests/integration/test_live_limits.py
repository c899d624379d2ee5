"""The live route at its cost limit."""

from __future__ import annotations

from typing import Any

import pytest
from run_lab import Lab

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
