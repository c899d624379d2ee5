"""Faults beside the path of an answer are logged and counted, and everything else goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeVar

from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import GatewayEvent

LOG: Final = logging.getLogger("batchata.gateway")
T = TypeVar("T")


class HeldUpError(Exception):
    """What was awaited has not returned in time."""


class Isolation:
    """Awaits what is done beside the path of an answer, and counts what fails."""

    def __init__(self) -> None:
        self.failures = 0
        self.told = 0  #: events that an observer has taken; grows while there is progress

    async def alone(
        self, who: Interceptor | str, work: Awaitable[None], *, seconds: float | None = None
    ) -> bool:
        """Await the work this long at most; False when it failed, which is only logged.

        A cancellation within it is its own fault too, unless this task is cancelled.
        """
        try:
            await (work if seconds is None else within(work, seconds))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            self.failures += 1
            LOG.error("%s failed: what it awaited was cancelled", _named(who))
            return False
        except (Exception, SystemExit):  # what an interceptor may raise is its own
            self.failures += 1
            LOG.exception("%s failed", _named(who))
            return False
        return True

    def asked(self, who: Interceptor | str, ask: Callable[[], T], otherwise: T) -> T:
        """What it returns, or `otherwise` when it fails."""
        try:
            return ask()
        except (Exception, SystemExit):  # the same
            self.failures += 1
            LOG.exception("%s failed", _named(who))
            return otherwise

    async def tell(self, interceptor: Interceptor, events: Iterable[GatewayEvent]) -> None:
        """Tell it of one event after the other, even if it raises at some."""
        rest = iter(events)
        while not await self.alone(interceptor, self._tell(interceptor, rest)):
            pass

    async def _tell(self, interceptor: Interceptor, events: Iterator[GatewayEvent]) -> None:
        for event in events:
            self.told += 1
            await interceptor.on_event(event)


async def within(work: Awaitable[None], seconds: float) -> None:
    """Await the work; HeldUpError when it takes longer than this.

    The second half of the time begins once the first is seen to be over, so that nothing is blamed
    for a process that was itself stopped for a while.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(None) as limit:
            half = loop.call_later(seconds / 2, lambda: limit.reschedule(loop.time() + seconds / 2))
            try:
                await work
            finally:
                half.cancel()
    except TimeoutError as error:
        if limit.expired():
            raise HeldUpError(f"it has not returned for {seconds:g} seconds") from error
        raise


def name_of(interceptor: Interceptor) -> str:
    """What it is called in logs."""
    return interceptor.name or type(interceptor).__name__


def _named(who: Interceptor | str) -> str:
    return who if isinstance(who, str) else f"interceptor {name_of(who)}"


def is_cancelled() -> bool:
    """True when somebody has cancelled this task, rather than something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
