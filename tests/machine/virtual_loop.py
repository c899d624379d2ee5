"""An event loop whose time goes on only when it is told to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

_BEGIN = datetime(2026, 11, 21, tzinfo=UTC)
_MOST_TURNS = 2000


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never sleeps: work that is ready is done, timers wait for `advance`."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds

    def time(self) -> float:
        """Seconds of virtual time."""
        return self.seconds

    def settle(self) -> None:
        """Do all work that is ready now."""
        self.run_until_complete(self._until_idle())

    def advance(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self.seconds + seconds
        self.settle()
        while (due := self._next_timer()) is not None and due <= end:
            self.seconds = max(self.seconds, due)
            self.settle()
        self.seconds = end
        self.settle()

    def _next_timer(self) -> float | None:
        timers = [each.when() for each in self._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        return min(timers, default=None)

    async def _until_idle(self) -> None:
        for _ in range(_MOST_TURNS):
            await asyncio.sleep(0)
            if not self._ready:  # type: ignore[attr-defined]
                return
        raise AssertionError("the engine turns in circles")


class VirtualClock:
    """The engine's clock, as the loop tells the time; chance is always the same."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Aware UTC."""
        return _BEGIN + timedelta(seconds=self._loop.seconds)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._loop.seconds

    def random(self) -> float:
        """A number in [0, 1)."""
        return 0.5

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
