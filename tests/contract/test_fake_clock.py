"""Virtual time: in order, at once, and never while others still have work."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from batchata.testing import FakeClock


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = FakeClock(), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (30, 1, 20, 1)))

    asyncio.run(main())

    assert woken == [(1, 1), (1, 1), (20, 20), (30, 30)]
    assert clock.now() - clock.start == timedelta(seconds=30)
    assert clock.sleeps == [30, 1, 20, 1]


def test_time_stands_still_while_others_work() -> None:
    clock, seen = FakeClock(), []

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            seen.append(clock.monotonic())

    async def main() -> None:
        await asyncio.gather(clock.sleep(3600), work())

    asyncio.run(main())

    assert seen == [0] * 5


def test_a_cancelled_sleeper_does_not_move_time() -> None:
    clock = FakeClock()

    async def main() -> None:
        long = asyncio.ensure_future(clock.sleep(1000))
        await clock.sleep(1)
        long.cancel()
        await clock.sleep(1)

    asyncio.run(main())

    assert clock.monotonic() == 2


def test_alarms_ring_at_their_time() -> None:
    clock, rung = FakeClock(), []
    clock.at(5, lambda: rung.append(clock.monotonic()))
    clock.at(2, lambda: rung.append(clock.monotonic()))

    asyncio.run(clock.sleep(10))

    assert rung == [2, 5]
    assert clock.monotonic() == 10


def test_chance_is_what_the_test_wants() -> None:
    assert [FakeClock().random(), FakeClock(chance=0.0).random()] == [0.5, 0.0]
