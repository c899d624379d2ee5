"""One poller for all submissions: asks at each vendor's pace, slower with age, never in step."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Coroutine
from typing import Any

from batchata.core.errors import (
    AccountStoppedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import RemoteProgress
from batchata.core.retry import Backoff, poll_wait_seconds
from batchata.core.submission import Submission
from batchata.engine.context import RunContext
from batchata.engine.lost_results import GIVE_UP, REFUSALS, is_given_up
from batchata.engine.waiting import first_of
from batchata.ports import BatchLook

log = logging.getLogger("batchata.engine")

#: polls of one vendor that may wait for their answers; a silent one holds nobody else up
_AT_ONCE = 32


class _Watch:
    """One submission being watched."""

    __slots__ = ("failures", "final", "gone", "is_last", "since", "submission")

    def __init__(
        self, submission: Submission, since: float, final: asyncio.Future[BatchLook | None]
    ) -> None:
        self.submission = submission
        self.since = since
        self.final = final
        self.failures = 0
        self.gone = 0
        self.is_last = False  #: it is not asked again


class Poller:
    """Waits for vendors' final words; nothing but a final word ends a submission."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._backoff = Backoff(first_seconds=2.0, most_seconds=60.0)
        self._due: list[tuple[float, int, _Watch]] = []
        self._order = itertools.count()
        self._added = asyncio.Event()
        self._gates: dict[str, asyncio.Semaphore] = {}

    async def final(self, submission: Submission) -> BatchLook | None:
        """The vendor's final word on a submission; None when the run stops before it.

        Raises ProviderRejectedError when the vendor will never tell.
        """
        now = self._context.clock.monotonic()
        watch = _Watch(submission, now, asyncio.get_running_loop().create_future())
        self._push(now, watch)
        try:
            return await watch.final
        finally:
            watch.final.cancel()

    async def run(self) -> None:
        """Ask until the run stops, then once more for each; then wait to be cancelled."""
        async with asyncio.TaskGroup() as group:
            while await self._wait():
                now = self._context.clock.monotonic()
                while self._due and self._due[0][0] <= now:
                    self._start(group, heapq.heappop(self._due)[2])
            if self._context.stop.cancels:  # what is cancelled at once can be collected at once
                await self._context.stop.told.wait()
            await self._last_looks(group)

    def _start(self, group: asyncio.TaskGroup, watch: _Watch) -> None:
        if not watch.final.done():
            group.create_task(self._ask(watch))

    async def _last_looks(self, group: asyncio.TaskGroup) -> None:
        """Ask each once more; batches of create calls that are still in flight come later."""
        while True:
            self._added.clear()
            due, self._due = self._due, []
            for _, _, watch in due:
                if watch.is_last and not watch.final.done():
                    watch.final.set_result(None)
                watch.is_last = True
                self._start(group, watch)
            await self._added.wait()

    def _push(self, at: float, watch: _Watch) -> None:
        heapq.heappush(self._due, (at, next(self._order), watch))
        self._added.set()

    async def _wait(self) -> bool:
        """Wait until a submission is due, or a new one is there; False when the run leaves."""
        clock, leaving = self._context.clock, self._context.stop.leaving
        if leaving.is_set():
            return False
        self._added.clear()
        waits: list[Coroutine[Any, Any, object]] = [self._added.wait(), leaving.wait()]
        if self._due:
            waits.append(clock.sleep(max(0.0, self._due[0][0] - clock.monotonic())))
        await first_of(*waits)
        return not leaving.is_set()

    async def _ask(self, watch: _Watch) -> None:
        gate = self._gates.setdefault(watch.submission.provider, asyncio.Semaphore(_AT_ONCE))
        async with gate:
            wait = await self._asked(watch)
        if not watch.final.done():
            at = self._context.clock.monotonic() + wait * self._context.config.poll_factor
            self._push(at, watch)

    async def _asked(self, watch: _Watch) -> float:
        """Ask once, and return how long to wait before asking again."""
        context, submission = self._context, watch.submission
        api = context.api(submission.provider)
        try:
            look = await api.look(submission.remote_id or "")
        except ProviderUnavailableError as error:
            watch.failures += 1
            context.notes["network"] = f"waiting for {submission.provider}: {error.message}"
            wait = self._backoff.wait_seconds(
                watch.failures, context.clock.random, error.retry_after_seconds
            )
            log.warning("%s; asking again in %.0f s", error.message, wait)
            return wait
        except AccountStoppedError as error:
            context.stop.ask(error.message, error=error)
            return 0.0
        except ProviderRejectedError as error:
            return self._refused(watch, error)
        watch.failures = watch.gone = 0
        context.notes.pop("network", None)
        return self._heard(watch, look)

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

    def _refused(self, watch: _Watch, error: ProviderRejectedError) -> float:
        context, submission = self._context, watch.submission
        watch.gone += 1
        log.error("batch %s cannot be asked for: %s", submission.remote_id, error.message)
        if watch.gone >= REFUSALS and not watch.final.done():
            if is_given_up(context, submission, error, watch.gone):
                watch.final.set_exception(error)
                return 0.0
            context.notes[submission.token] = (
                f"{submission.provider} does not show batch {submission.remote_id} to this key: "
                f"{error.message}; {GIVE_UP}"
            )
            watch.final.set_result(None)
        return 10.0
