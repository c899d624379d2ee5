"""Polls responses that a vendor makes in the background, at its pace, until each has ended."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from batchata.core.errors import (
    AccountStoppedError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.retry import Backoff, poll_wait_seconds
from batchata.core.submission import CANCEL_ASKED
from batchata.engine import shutdown
from batchata.engine.context import RunContext
from batchata.engine.lost_results import GIVE_UP, REFUSALS, is_gone, is_results_gone, note_back
from batchata.engine.waiting import first_of
from batchata.ports import BackgroundAPI, ResponseLook

log = logging.getLogger("batchata.engine")

_AT_ONCE: Final = 64
#: looks at responses that are not done yet cost a processor, whatever pace a vendor allows
_LOOKS_PER_SECOND: Final = 500
_REFUSED_SECONDS: Final = 10.0
_LONGEST_NAP: Final = 60.0
_BACKOFF: Final = Backoff(first_seconds=2.0, most_seconds=60.0)


@dataclass(slots=True, eq=False, kw_only=True)
class Watch:
    """One response that is being waited for."""

    seq: int
    token: str
    response_id: str
    model_key: tuple[str, str]  #: provider and model
    api: BackgroundAPI
    since: float
    failures: int = 0
    refused: int = 0
    is_cancelled: bool = False
    tokens: int | None = None  #: what its call was thought to take from a limit on tokens


Came = Callable[[Watch, ResponseLook], Awaitable[None]]
Gone = Callable[[Watch, ProviderRejectedError], None]


class ResponsePoller:
    """Asks for every open response; tells `came` of those that ended, `gone` of those lost."""

    def __init__(self, context: RunContext, came: Came, gone: Gone) -> None:
        self._context = context
        self._came = came
        self._gone = gone
        self._due: list[tuple[float, int, Watch]] = []
        self._order = itertools.count()
        self._asking: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._paused_until: dict[str, float] = {}  #: by provider
        self._is_over = False
        self.open: Counter[tuple[str, str]] = Counter()  #: by provider and model

    @property
    def is_busy(self) -> bool:
        """True while there is something to wait for."""
        return not self._is_over and self.open.total() > 0

    def watch(self, watch: Watch, wait_seconds: float = 0.0) -> None:
        """Poll a response from now on, for the first time after this many seconds."""
        self.open[watch.model_key] += 1
        self._push(watch, wait_seconds)

    async def run(self) -> None:
        """Poll until the run leaves; then once more for what may be there by now."""
        self._is_over = False
        try:
            async with asyncio.TaskGroup() as group:
                while await self._wait():
                    self._ask(group)
                await self._last_looks(group)
        finally:
            self._is_over = True

    def _push(self, watch: Watch, wait_seconds: float) -> None:
        at = self._context.clock.monotonic() + wait_seconds * self._context.config.poll_factor
        heapq.heappush(self._due, (at, next(self._order), watch))
        self._changed.set()

    async def _wait(self) -> bool:
        """Wait until a response is due; False when the run leaves."""
        context = self._context
        self._changed.clear()
        is_full = len(self._asking) >= _AT_ONCE
        wait = _LONGEST_NAP
        if self._due and not is_full:
            wait = max(0.0, min(wait, self._due[0][0] - context.clock.monotonic()))
        if not wait:
            await asyncio.sleep(0)
            return not context.stop.leaving.is_set()
        await first_of(context.clock.sleep(wait), self._changed.wait(), context.stop.leaving.wait())
        return not context.stop.leaving.is_set()

    def _ask(self, group: asyncio.TaskGroup) -> None:
        """Poll what is due, a limited number at once."""
        now = self._context.clock.monotonic()
        while self._due and self._due[0][0] <= now and len(self._asking) < _AT_ONCE:
            watch = heapq.heappop(self._due)[2]
            pause = self._paused_until.get(watch.model_key[0], 0.0)
            if pause > now:
                heapq.heappush(self._due, (pause, next(self._order), watch))
                continue
            task = group.create_task(self._asked(watch))
            self._asking.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._asking.discard(task)
        self._changed.set()

    async def _asked(self, watch: Watch) -> None:
        await self._cancelled(watch)
        wait = await self._look(watch)
        if wait is None:
            self.open[watch.model_key] -= 1
        else:
            self._push(watch, wait)

    async def _look(self, watch: Watch) -> float | None:
        """Poll once, and return how long to wait before the next time; None when there is none."""
        context = self._context
        try:
            look = await watch.api.retrieve(watch.response_id)
        except AccountStoppedError as error:
            context.stop.ask(error.message, error=error)
            return _REFUSED_SECONDS
        except ProviderRejectedError as error:
            return self._refused(watch, error)
        except ProviderUnavailableError as error:
            return self._unavailable(watch, error)
        if watch.refused:
            note_back(context, context.state.submissions[watch.token])
        watch.failures = watch.refused = 0
        context.notes.pop("network", None)
        if look.is_final:
            context.notes.pop(watch.token, None)
            await self._came(watch, look)
            return None
        wait = look.poll_after_seconds
        if wait is None:
            age = context.clock.monotonic() - watch.since
            wait = poll_wait_seconds(watch.api.poll_seconds, age, context.clock.random)
        return max(wait, self.open.total() / _LOOKS_PER_SECOND)

    def _unavailable(self, watch: Watch, error: ProviderUnavailableError) -> float:
        context, asked = self._context, error.retry_after_seconds
        watch.failures += 1
        context.notes["network"] = f"waiting for {watch.model_key[0]}: {error.message}"
        wait = _BACKOFF.wait_seconds(watch.failures, context.clock.random, asked)
        if error.status == 429:  # it means all of our calls, not this one alone
            pause = (wait if asked is None else asked) * context.config.poll_factor
            known = self._paused_until.get(watch.model_key[0], 0.0)
            self._paused_until[watch.model_key[0]] = max(known, context.clock.monotonic() + pause)
        log.warning("%s; asking again in %.0f s", error.message, wait)
        return wait

    def _refused(self, watch: Watch, error: ProviderRejectedError) -> float | None:
        context = self._context
        submission = context.state.submissions[watch.token]
        watch.refused += 1
        log.error("response %s cannot be asked for: %s", watch.response_id, error.message)
        if is_results_gone(context, submission, error, watch.refused):
            context.notes.pop(watch.token, None)
            self._gone(watch, error)
            return None
        if watch.refused >= REFUSALS and not is_gone(error):
            context.notes[watch.token] = (
                f"{watch.model_key[0]} does not give out response {watch.response_id}: "
                f"{error.message}; {GIVE_UP}"
            )
            return None
        return _REFUSED_SECONDS

    async def _last_looks(self, group: asyncio.TaskGroup) -> None:
        """Poll each once more; a vendor that does not answer holds up the run only briefly."""
        stop = self._context.stop
        tasks = set(self._asking)

        async def work(left: Iterator[Watch]) -> None:
            for watch in left:
                await self._asked(watch)

        with suppress(TimeoutError):
            async with asyncio.timeout(shutdown.GRACE_SECONDS):
                if stop.cancels:  # what was cancelled can be asked for at once
                    await stop.told.wait()
                left = iter([watch for _, _, watch in self._due])
                self._due.clear()
                tasks |= {group.create_task(work(left)) for _ in range(_AT_ONCE)}
                await asyncio.wait(tasks)
        for task in tasks:
            task.cancel()

    async def _cancelled(self, watch: Watch) -> None:
        """Cancel a response that was on its way when all others were."""
        stop, submissions = self._context.stop, self._context.state.submissions
        if watch.is_cancelled or not (stop.cancels and stop.told.is_set()):
            return
        watch.is_cancelled = True
        if submissions[watch.token].note == CANCEL_ASKED:
            return
        try:
            await watch.api.cancel(watch.response_id)
        except ProviderError as error:
            log.warning("response %s was not cancelled: %s", watch.response_id, error.message)
