"""Writes on the loop while they are quick, in a thread while they are not."""

from __future__ import annotations

import asyncio
import threading

import pytest

from batchata.gateway.proxy.disk.writing import Writing
from batchata.gateway.proxy.interceptor import Interceptor
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.telemetry.event_queue import MOST_WAITING, EventQueue
from batchata.gateway.proxy.telemetry.events import GatewayEvent


async def threads_of(times: list[float], sizes: list[int]) -> list[bool]:
    """For each write: was it on the loop's own thread?"""
    ticks = iter(times)
    writing = Writing(clock=lambda: next(ticks))
    found: list[bool] = []
    here = threading.current_thread()
    for size in sizes:
        await writing.run(lambda: found.append(threading.current_thread() is here), size_bytes=size)
    return found


def test_quick_writes_stay_on_the_loop() -> None:
    assert asyncio.run(threads_of([0, 0.001, 1, 1.001], [10, 10])) == [True, True]


def test_after_a_slow_write_a_thread_writes_for_a_while() -> None:
    times = [0, 0.5, 1, 30, 30.6, 30.61]

    assert asyncio.run(threads_of(times, [0, 0, 0, 0])) == [True, False, False, True]


def test_a_large_write_is_made_in_a_thread() -> None:
    assert asyncio.run(threads_of([0], [10_000_000])) == [False]


async def failing_write() -> None:
    def write() -> None:
        raise OSError("no room")

    await Writing().run(write)


def test_what_a_write_raises_is_raised() -> None:
    with pytest.raises(OSError, match="no room"):
        asyncio.run(failing_write())


class Choosy(Interceptor):
    """Raises at every third event."""

    name = "choosy"

    async def start(self) -> None:
        self.seen: list[int] = []
        self.flushes = 0

    async def on_event(self, event: GatewayEvent) -> None:
        self.seen.append(event.at_us)
        if event.at_us % 3 == 0:
            raise ValueError("not this one")

    async def flush(self) -> None:
        self.flushes += 1


async def told_to(observer: Choosy, count: int) -> tuple[EventQueue, Isolation]:
    await observer.start()
    isolation = Isolation()
    queue = EventQueue([observer], isolation)
    queue.start()
    for number in range(count):
        queue.put(GatewayEvent("session.end", number, "s", "", "", "", {}, {}))
    await queue.aclose()
    return queue, isolation


def test_an_observer_that_raises_is_told_of_all_others_in_order() -> None:
    observer = Choosy()

    queue, isolation = asyncio.run(told_to(observer, 1000))

    assert observer.seen == list(range(1000))
    assert isolation.failures == 334
    assert queue.waiting == 0
    assert observer.flushes > 1, "many events are brought in parts, so that others have their turn"


class Gated(Interceptor):
    """Takes an event once its gate is open."""

    name = "gated"

    async def start(self) -> None:
        self.began, self.gate = asyncio.Event(), asyncio.Event()

    async def on_event(self, event: GatewayEvent) -> None:
        self.began.set()
        await self.gate.wait()


async def drained_in_the_middle() -> list[bool]:
    observer = Gated()
    await observer.start()
    queue = EventQueue([observer], Isolation())
    queue.start()
    queue.put(GatewayEvent("session.end", 1, "s", "", "", "", {}, {}))
    early = asyncio.create_task(queue.drain())
    await observer.began.wait()
    late = asyncio.create_task(queue.drain())
    await asyncio.sleep(0)
    found = [early.done(), late.done()]
    observer.gate.set()
    await asyncio.gather(early, late)
    await queue.aclose()
    return found


def test_who_waits_for_all_events_waits_for_the_one_being_told_too() -> None:
    assert asyncio.run(drained_in_the_middle()) == [False, False]


async def room_while_others_keep_coming() -> int:
    observer = Choosy()
    await observer.start()
    queue = EventQueue([observer], Isolation())
    for number in range(1, MOST_WAITING * 3, 3):
        queue.put(GatewayEvent("session.end", number, "s", "", "", "", {}, {}))
    assert queue.is_full
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0)
    queue.start()
    came = 0
    while not waiting.done():  # others, whose request was let in before, never let it run empty
        queue.put(GatewayEvent("session.end", 1, "s", "", "", "", {}, {}))
        came += 1
        await asyncio.sleep(0)
    assert queue.waiting
    await queue.aclose()
    return came


def test_a_request_that_waits_for_room_goes_on_as_soon_as_there_is_some() -> None:
    assert asyncio.run(room_while_others_keep_coming()) < MOST_WAITING


def event(number: int) -> GatewayEvent:
    return GatewayEvent("session.end", number, "s", "", "", "", {}, {})


async def some_made_later() -> tuple[Choosy, Isolation]:
    observer = Choosy()
    await observer.start()
    isolation = Isolation()
    queue = EventQueue([observer], isolation)
    queue.start()
    for each in (event(1), lambda: event(2), lambda: event(1 // 0), lambda: event(4), event(5)):
        queue.put(each)
    await queue.aclose()
    return observer, isolation


def test_events_that_are_made_later_keep_their_order_and_one_that_fails_is_counted() -> None:
    observer, isolation = asyncio.run(some_made_later())

    assert observer.seen == [1, 2, 4, 5]
    assert isolation.failures == 1


async def room_after_work_that_made_no_event() -> None:
    queue = EventQueue([], Isolation())
    queue.start()
    for _ in range(MOST_WAITING):
        queue.later(lambda: None)
    await asyncio.wait_for(queue.room(), 30)
    await queue.aclose()


def test_a_request_never_waits_for_observers_that_are_not_there() -> None:
    asyncio.run(room_after_work_that_made_no_event())
