"""What ends a run or turns it before its jobs do: time limits, and a stop that cancels."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from batchata.core.result import Failure, Reason
from batchata.core.submission import Submission
from batchata.engine import shutdown
from batchata.engine.context import RunContext
from batchata.engine.live import LiveRoute
from batchata.engine.planning import Planner
from batchata.engine.sending import Sender

log = logging.getLogger("batchata.engine")

_CANCELS_AT_ONCE = 8


class Deadlines:
    """Waits for a run's time limits and for a stop, and does what is to be done then."""

    def __init__(
        self, context: RunContext, planner: Planner, sender: Sender, live: LiveRoute
    ) -> None:
        self._context = context
        self._planner = planner
        self._sender = sender
        self._live = live

    async def time_limit(self) -> None:
        """Stop the run when its time is over."""
        limit = self._context.config.time_limit_seconds
        if limit is not None and await self._context.pause(limit):
            cancels = self._context.config.on_stop == "cancel"
            self._context.stop.ask("time: the time limit is over", cancels=cancels)

    async def stop(self) -> None:
        """Ask vendors to cancel what is in flight, where the user wants that."""
        stop = self._context.stop
        await stop.event.wait()
        if stop.cancels:
            seconds = shutdown.GRACE_SECONDS if stop.leaving.is_set() else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._cancel_all()
        stop.told.set()

    async def batches(self) -> None:
        """When the time for batches is over, what is not back is cancelled and goes live."""
        context, limit = self._context, self._context.config.finish_within_seconds
        if limit is None:
            return
        if not await context.pause(max(0.0, limit - self._waited_seconds())):
            return
        context.is_late = True
        self._live.add(self._planner.drain())
        log.warning("not all batches are back in time: cancelling them and going on live")
        context.notes["late"] = "going on live: the time for batches is over"
        context.changed.set()
        await self._cancel_all()

    def _waited_seconds(self) -> float:
        """How long the oldest batch in flight has been under way, whichever process sent it."""
        now_us, opened = self._context.now_us(), self._context.state.open_submissions()
        oldest = min((each.intended_us for each in opened if each.route == "batch"), default=now_us)
        return (now_us - oldest) / 1e6

    async def _cancel_all(self) -> None:
        gate = asyncio.Semaphore(_CANCELS_AT_ONCE)

        async def cancel(submission: Submission) -> None:
            async with gate:
                await self._sender.cancel(submission)

        async with asyncio.TaskGroup() as group:
            for submission in self._context.state.open_submissions():
                group.create_task(cancel(submission))

    def why_unsent(self) -> Failure | None:
        """The failure of jobs that a stop kept from being sent; None when they stay pending."""
        match (self._context.stop.reason or "").split(":")[0]:
            case "cancelled":
                return Failure(Reason.CANCELLED, "Cancelled by user")
            case "time":
                said = "Time limit exceeded: batch execution time limit exceeded"
                return Failure(Reason.TIME_LIMIT, said)
            case _:
                return None
