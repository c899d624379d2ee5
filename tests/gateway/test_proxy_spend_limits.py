"""Limits of which there are too many for memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from batchata.gateway.proxy.money import spend_limits as module
from batchata.gateway.proxy.money.spend_limits import SpendLimits


def test_a_limit_that_a_call_waits_for_is_not_forgotten_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_LIMITS", 10)

    async def play() -> None:
        limits = SpendLimits(tmp_path / "state.db", total=100)
        assert await limits.reserve([limits.total], 80) is None
        waited_for = limits.of("session", "a", 50)
        both = [limits.total, waited_for]
        waiting = asyncio.create_task(limits.reserve(both, 40, wait_seconds=600))
        while not waited_for.waiting:
            await asyncio.sleep(0)
        for number in range(30):
            limits.of("session", f"other {number}", 50)

        assert limits.of("session", "a", 50) is waited_for
        limits.settle([limits.total], 80, 10)
        assert await waiting is None
        limits.settle(both, 40, 40)
        assert (limits.total.used, waited_for.used) == (50, 40)
        await limits.aclose()

    asyncio.run(play())
