"""A fault beside the way of an answer is logged and counted, and everything else goes on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Iterator
from typing import Final

from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import GatewayEvent

LOG: Final = logging.getLogger("batchata.gateway")


class Isolation:
    """Awaits what is done beside the way of an answer, and keeps count of what fails."""

    def __init__(self) -> None:
        self.failures = 0

    async def alone(self, who: Interceptor | str, work: Awaitable[None]) -> bool:
        """Await the work; False when it raised, which is logged and goes no further."""
        try:
            await work
        except Exception:  # what an interceptor may raise is its own
            self.failures += 1
            LOG.exception("%s failed", who if isinstance(who, str) else _named(who))
            return False
        return True

    async def tell(self, interceptor: Interceptor, events: Iterable[GatewayEvent]) -> None:
        """Tell of one event after the other, whichever of them it raises at."""
        rest = iter(events)
        while not await self.alone(interceptor, _tell(interceptor, rest)):
            pass


def _named(interceptor: Interceptor) -> str:
    return f"interceptor {interceptor.name or type(interceptor).__name__}"


async def _tell(interceptor: Interceptor, events: Iterator[GatewayEvent]) -> None:
    for event in events:
        await interceptor.on_event(event)
