"""How a stopped run leaves: a moment for pending answers, but as long as create calls take."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

from batchata.engine.context import RunContext

#: how long a run that leaves waits for all else together; reset by a create call that ends
GRACE_SECONDS = 1.5
_TICK_SECONDS = 0.05
_LEAST_SECONDS = 0.001

Task = asyncio.Task[None]


class Shutdown:
    """The last moments of a stopped run, which share one deadline."""

    def __init__(self, context: RunContext, creating: Collection[Task | None]) -> None:
        self._context = context
        self._creating = creating  #: tasks whose create call has left
        self._until: float | None = None

    def seconds(self) -> float:
        """How much of the moment is left; it begins at the first call."""
        now = self._context.clock.monotonic()
        if self._until is None:
            self._until = now + GRACE_SECONDS
        left = self._until - now
        return left if left > _LEAST_SECONDS else 0.0

    async def finish(self, tasks: Mapping[str, Task]) -> None:
        """Wait for tasks until the run is to leave, and then until its moment is over."""
        leaving = asyncio.ensure_future(self._context.stop.leaving.wait())
        while tasks and not leaving.done():
            waits = {*tasks.values(), leaving}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        while tasks:
            await self._wait(set(tasks.values()))

    async def _wait(self, tasks: set[Task]) -> None:
        """One tick; a task that is out of time is cancelled, unless its create call has left."""
        creating = len(self._creating)
        seconds = self.seconds()
        if not seconds:
            for task in tasks.difference(self._creating):
                task.cancel()
        await asyncio.wait(
            tasks,
            timeout=min(seconds or _TICK_SECONDS, _TICK_SECONDS),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if len(self._creating) < creating:
            self._until = None
