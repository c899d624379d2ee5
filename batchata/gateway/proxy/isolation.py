"""One interceptor's fault is its own: it is logged and counted, and the others go on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Final

from batchata.gateway.proxy.interceptor import Interceptor

LOG: Final = logging.getLogger("batchata.gateway")


class Isolation:
    """Awaits what interceptors do, and keeps count of those that fail."""

    def __init__(self) -> None:
        self.failures = 0

    async def alone(self, interceptor: Interceptor, work: Awaitable[None]) -> None:
        """Await the work; what it raises is logged and goes no further."""
        try:
            await work
        except Exception:  # what an interceptor may raise is its own
            self.failures += 1
            name = interceptor.name or type(interceptor).__name__
            LOG.exception("interceptor %s failed", name)
