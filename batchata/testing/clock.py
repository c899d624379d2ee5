"""Virtual time: sleeps come back at once, in the order of their wake-up times."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: turns of the loop in which others may act before time goes on
_TURNS = 20


class FakeClock:
    """Stands still while anything else has work to do, then goes to the next wake-up time.

    Nothing is random: `random()` gives `chance`, which waits take as neither early nor late.
    """

    def __init__(self, start: datetime | None = None, *, chance: float = 0.5) -> None:
        self.start = start or datetime(2026, 11, 21, 12, tzinfo=UTC)
        self.elapsed = 0.0  #: seconds since the start
        self.chance = chance
        self.sleeps: list[float] = []  #: every sleep asked for, in seconds
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._alarms: list[tuple[float, int, Callable[[], None]]] = []
        self._mover: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        """Aware UTC."""
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self.elapsed

    def random(self) -> float:
        """Always `chance`."""
        return self.chance

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something when so many seconds have passed since the start."""
        heapq.heappush(self._alarms, (seconds, next(self._order), act))

    async def sleep(self, seconds: float) -> None:
        """Wait, in virtual time."""
        self.sleeps.append(seconds)
        wakes: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        until = self.elapsed + max(0.0, seconds)
        heapq.heappush(self._sleepers, (until, next(self._order), wakes))
        if self._mover is None or self._mover.done():
            self._mover = asyncio.ensure_future(self._move())
        await wakes

    async def _move(self) -> None:
        while self._sleepers:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            until, _, wakes = heapq.heappop(self._sleepers)
            if wakes.done():  # whoever slept was cancelled
                continue
            self._ring(until)
            self.elapsed = max(self.elapsed, until)
            wakes.set_result(None)

    def _ring(self, until: float) -> None:
        while self._alarms and self._alarms[0][0] <= until:
            at, _, act = heapq.heappop(self._alarms)
            self.elapsed = max(self.elapsed, at)
            act()
