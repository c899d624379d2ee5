"""`test_recorder`: exchanges and events in memory, for tests."""

from __future__ import annotations

from collections import deque
from typing import Annotated, ClassVar

from pydantic import Field

from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.telemetry.events import GatewayEvent


class TestRecorder(Interceptor):
    """Keeps the newest exchanges and events, oldest first."""

    __test__ = False  # not a class of tests, despite its name
    name = "test_recorder"
    options: ClassVar = {"most": 10_000}
    most: Annotated[int, Field(ge=0)]  #: how many exchanges, and how many events, are kept

    async def start(self) -> None:
        """Start empty."""
        self.exchanges: deque[Exchange] = deque(maxlen=self.most)
        self.events: deque[GatewayEvent] = deque(maxlen=self.most)

    async def on_response(self, exchange: Exchange) -> None:
        """Keep an exchange that has ended."""
        self.exchanges.append(exchange)

    async def on_event(self, event: GatewayEvent) -> None:
        """Keep an event."""
        self.events.append(event)
