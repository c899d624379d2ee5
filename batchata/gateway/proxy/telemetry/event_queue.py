"""The queue that delivers the gateway's events to observers, off the path of requests."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.isolation import Isolation, name_of
from batchata.gateway.proxy.telemetry.events import GatewayEvent

LOG: Final = logging.getLogger("batchata.gateway")
#: an observer that takes no event for this long is given up: all others would wait for it
PATIENCE_SECONDS: Final = 60.0
CLOSING_PATIENCE_SECONDS: Final = 10.0
_LOOKS: Final = 2  #: how often within that time it is checked
#: events that may wait for slow observers; then requests wait too
MOST_WAITING: Final = 20_000
#: how long events are gathered before observers get them
_GATHER_SECONDS: Final = 0.02
#: how many are delivered at once; then others have their turn
_MOST_AT_ONCE: Final = 256
#: an event, or what makes one or does something else, many in a row: that takes a third less time
Pending = GatewayEvent | Callable[[], GatewayEvent | None]


class EventQueue:
    """Delivers events in order; a slow observer slows requests down before any event is lost."""

    def __init__(self, observers: Sequence[Interceptor], isolation: Isolation) -> None:
        self._observers = list(observers)
        self._gathered: list[Pending] = []
        self._waiting: deque[GatewayEvent] = deque()
        self._filled = asyncio.Event()
        self._brought = asyncio.Event()
        self._delivered = self._in_delivery = 0  # how many events
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._soon: asyncio.TimerHandle | None = None
        self._isolation = isolation
        self._current: Interceptor | None = None  # who is being called now
        self._stuck: Interceptor | None = None  # who has been given up
        self._flushes = 0
        self._patience = PATIENCE_SECONDS
        self._watching: asyncio.TimerHandle | None = None

    @property
    def has_observers(self) -> bool:
        """True when any interceptor wants events."""
        return bool(self._observers)

    @property
    def is_full(self) -> bool:
        """True when requests have to wait for observers."""
        return self.waiting >= MOST_WAITING

    @property
    def waiting(self) -> int:
        """How many events observers have not got yet."""
        return len(self._waiting) + len(self._gathered)

    def start(self) -> None:
        """Start to deliver events."""
        self._task = asyncio.get_running_loop().create_task(self._bring())
        self._watch(None)

    def put(self, event: Pending) -> None:
        """Add an event; never waits."""
        if self._observers:
            self.later(event)

    def later(self, work: Pending) -> None:
        """Have something done soon, in its turn among the events."""
        self._gathered.append(work)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._wake)

    async def room(self) -> None:
        """Wait until there is room for more events."""
        while self.is_full:
            await self._progress()

    async def drain(self) -> None:
        """Wait until every event so far has been delivered."""
        self._wake()
        last = self._delivered + self._in_delivery + len(self._waiting)
        while self._delivered < last:
            await self._progress()

    async def aclose(self, *, patience_seconds: float = CLOSING_PATIENCE_SECONDS) -> None:
        """Deliver what is left, then stop; one that takes no event for this long is given up."""
        self._is_closing = True
        self._patience = patience_seconds
        self._wake()
        if self._task is not None:
            self._watch(None)
            await self._task
            self._task = None
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self, before: object, still: int = 0) -> None:
        """Give up an observer that has not returned at several checks in a row.

        One check says little: the whole process may have been stopped for a while.
        """
        now = (self._current, self._isolation.told, self._flushes)
        still = still + 1 if self._current is not None and now == before else 0
        if still >= _LOOKS and self._task is not None:
            self._stuck, still = self._current, 0
            self._task.cancel()
        if self._watching is not None:
            self._watching.cancel()
        loop = asyncio.get_running_loop()
        self._watching = loop.call_later(self._patience / _LOOKS, self._watch, now, still)

    def _wake(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        self.catch_up()
        self._filled.set()

    def catch_up(self) -> None:
        """Do now what was put here to be done a little later."""
        gathered, self._gathered = self._gathered, []
        for each in gathered:
            if isinstance(each, GatewayEvent):
                self._waiting.append(each)
                continue
            made = self._isolation.asked("what follows an exchange", each, None)
            if made is not None:
                self._waiting.append(made)

    async def _progress(self) -> None:
        """Wait until more events are delivered."""
        self._brought.clear()
        await self._brought.wait()

    async def _bring(self) -> None:
        while self.waiting or not self._is_closing:
            if self._is_closing:
                self._wake()
            await self._filled.wait()
            self._filled.clear()
            left = len(self._waiting)  # those that come meanwhile are gathered for the next time
            while left:
                count = min(left, _MOST_AT_ONCE)
                events = [self._waiting.popleft() for _ in range(count)]
                self._in_delivery = count
                for observer in tuple(self._observers):
                    await self._tell(observer, events)
                left -= count
                self._delivered += count
                self._in_delivery = 0
                self._brought.set()
                await asyncio.sleep(0)
            self._brought.set()  # there is room again, even if no event was made of what waited

    async def _tell(self, observer: Interceptor, events: Sequence[GatewayEvent]) -> None:
        self._current = observer
        try:
            await self._isolation.tell(observer, events)
            await self._isolation.alone(observer, observer.flush())
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._stuck is not observer or task is None:
                raise
            task.uncancel()
            self._observers.remove(observer)
            self._isolation.failures += 1
            LOG.error(
                "interceptor %s has not returned for %g seconds: it gets no more events",
                *(name_of(observer), self._patience),
            )
        self._current = self._stuck = None
        self._flushes += 1
