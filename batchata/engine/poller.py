"""One poller for all submissions: asks at each vendor's pace, slower with age, never in step."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging

from batchata.core.errors import (
    AccountStoppedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import RemoteProgress
from batchata.core.retry import Backoff, poll_wait_seconds
from batchata.core.submission import Submission
from batchata.engine.context import RunContext
from batchata.ports import BatchLook

log = logging.getLogger("batchata.engine")

_AT_ONCE = 8
_GONE_AFTER = 5


class _Watch:
    """One submission being watched."""

    __slots__ = ("failures", "final", "gone", "since", "submission")

    def __init__(
        self, submission: Submission, since: float, final: asyncio.Future[BatchLook | None]
    ) -> None:
        self.submission = submission
        self.since = since
        self.final = final
        self.failures = 0
        self.gone = 0


class Poller:
    """Waits for vendors' final words; nothing but a final word ends a submission."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._backoff = Backoff(first_seconds=2.0, most_seconds=60.0)
        self._due: list[tuple[float, int, _Watch]] = []
        self._order = itertools.count()
        self._added = asyncio.Event()

    async def final(self, submission: Submission) -> BatchLook | None:
        """The vendor's final word on a submission; None when the run stops before it."""
        now = self._context.clock.monotonic()
        watch = _Watch(submission, now, asyncio.get_running_loop().create_future())
        self._push(now, watch)
        try:
            return await watch.final
        finally:
            watch.final.cancel()

    async def run(self) -> None:
        """Ask until the run stops; then ask each once more and give up the rest."""
        while await self._wait():
            await self._ask_due()
        if self._context.stop.cancels:  # what is cancelled at once can be collected at once
            await self._context.stop.told.wait()
        await self._last_look()

    def _push(self, at: float, watch: _Watch) -> None:
        heapq.heappush(self._due, (at, next(self._order), watch))
        self._added.set()

    async def _wait(self) -> bool:
        context = self._context
        self._added.clear()
        if not self._due:
            waits = [asyncio.ensure_future(e.wait()) for e in (self._added, context.stop.leaving)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
            return not context.stop.leaving.is_set()
        wait = self._due[0][0] - context.clock.monotonic()
        return await context.pause(max(0.0, min(wait, 1.0)), until_leaving=True)

    async def _ask_due(self) -> None:
        now = self._context.clock.monotonic()
        ready: list[_Watch] = []
        while self._due and self._due[0][0] <= now and len(ready) < _AT_ONCE:
            watch = heapq.heappop(self._due)[2]
            if not watch.final.done():
                ready.append(watch)
        async with asyncio.TaskGroup() as group:
            for watch in ready:
                group.create_task(self._ask(watch))

    async def _ask(self, watch: _Watch) -> None:
        context, submission = self._context, watch.submission
        api = context.api(submission.provider)
        wait = 0.0
        try:
            look = await api.look(submission.remote_id or "")
        except ProviderUnavailableError as error:
            watch.failures += 1
            context.notes["network"] = f"waiting for {submission.provider}: {error.message}"
            wait = self._backoff.wait_seconds(
                watch.failures, context.clock.random, error.retry_after_seconds
            )
            log.warning("%s; asking again in %.0f s", error.message, wait)
        except AccountStoppedError as error:
            context.stop.ask(error.message, error=error)
        except ProviderRejectedError as error:
            watch.gone += 1
            wait = self._gone(watch, error)
        else:
            watch.failures = watch.gone = 0
            context.notes.pop("network", None)
            wait = self._heard(watch, look)
        if not watch.final.done():
            self._push(context.clock.monotonic() + wait * context.config.poll_factor, watch)

    def _heard(self, watch: _Watch, look: BatchLook) -> float:
        context, submission = self._context, watch.submission
        context.tell(
            RemoteProgress(
                token=submission.token, state=look.state, counts=look.counts, word=look.word
            )
        )
        if look.state.is_final:
            if not watch.final.done():
                watch.final.set_result(look)
            return 0.0
        age = context.clock.monotonic() - watch.since
        pace = context.api(submission.provider).poll_seconds
        wait = poll_wait_seconds(pace, age, context.clock.random)
        return max(wait, look.retry_after_seconds or 0.0)

    def _gone(self, watch: _Watch, error: ProviderRejectedError) -> float:
        submission = watch.submission
        log.error("batch %s cannot be asked for: %s", submission.remote_id, error.message)
        if watch.gone >= _GONE_AFTER and not watch.final.done():
            self._context.notes[submission.token] = (
                f"{submission.provider} does not know batch {submission.remote_id} any more: "
                f"{error.message}"
            )
            watch.final.set_result(None)
        return 10.0

    async def _last_look(self) -> None:
        watches = [watch for _, _, watch in self._due if not watch.final.done()]
        self._due.clear()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def once(watch: _Watch) -> None:
            async with gate:
                await self._ask(watch)

        async with asyncio.TaskGroup() as group:
            for watch in watches:
                group.create_task(once(watch))
        for watch in watches:
            if not watch.final.done():
                watch.final.set_result(None)
        self._due.clear()
