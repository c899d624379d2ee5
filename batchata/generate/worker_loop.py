"""One process at work, shard by shard; the next begins before the last answers are in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from batchata.core.errors import ProviderUnavailableError
from batchata.core.status import JobStatus
from batchata.engine.context import first_error
from batchata.generate.ledger import Shard
from batchata.generate.servers import Servers
from batchata.generate.shard_run import Counter, ShardRun, ShardRunner, Shards, Shared
from batchata.generate.shared_limits import SharedLimits

log = logging.getLogger("batchata.generate")

#: shards waiting for their last answers, besides the one that sends
_OPEN_MOST: Final = 6
_TICK_SECONDS: Final = 0.01
_BEAT_SECONDS: Final = 1.0
#: seconds after which a worker without rows first looks for some again
_LOOK_SECONDS: Final = 0.1
#: seconds without any server after which the run stops, its rows as they are
_DOWN_SECONDS: Final = 60.0
_WINDOW_LEAST: Final = 32


class WorkerLoop:
    """Takes shards from the ledger until none is left or it is told to stop."""

    def __init__(self, runner: ShardRunner, shards: Shards, servers: Servers, worker: str) -> None:
        self._runner = runner
        self._shards = shards
        self._servers = servers
        self._worker = worker
        self.counter = Counter()
        self._shared_limits = SharedLimits(
            shards, worker, runner.config.processing, lambda: self.counter.answered
        )
        self._paces = self._shared_limits.paces
        provider = servers.provider
        self._shared = Shared({provider.name: provider}, self._paces)
        self._held: set[int] = set()  #: shards
        self._running: list[ShardRun] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_reason: str | None = None
        self.error: Exception | None = None
        self.is_left: Callable[[], bool] = lambda: False  #: nobody waits for this process now

    async def run(self) -> None:
        """Work until nothing is left or a stop is requested, then close the connections.

        Raises the first error.
        """
        try:
            await self._work()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        finally:
            await self._servers.aclose()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._servers.pool.watch()),
                group.create_task(self._beat()),
                group.create_task(self._shared_limits.run(self._running)),
            ]
            try:
                await self._take_all(group)
                while self._tasks:
                    await asyncio.wait(set(self._tasks))
            finally:
                for each in helpers:
                    each.cancel()
                await self._shared_limits.empty()
                await asyncio.to_thread(self._shards.give_back, self._worker)
        if self.error is not None:
            raise self.error

    def stop(self, reason: str) -> None:
        """Send nothing new; calls in flight are waited for."""
        if self._stop_reason is None:
            self._stop_reason = reason
        self._servers.pool.give_up()
        for work in self._running:
            work.session.context.stop.ask(reason)

    @property
    def is_stopping(self) -> bool:
        """True when nothing new may be sent."""
        return self._stop_reason is not None

    def report(self) -> dict[str, Any]:
        """What this process has done so far."""
        counter = self.counter
        return {
            "answered": counter.answered,
            "failed": counter.failed,
            "known": counter.known,
            "input_tokens": counter.input_tokens,
            "output_tokens": counter.output_tokens,
            "in_flight": self._paces.in_flight,
            "servers": [each.report() for each in self._servers.pool.servers],
        }

    async def _take_all(self, group: asyncio.TaskGroup) -> None:
        waits = _LOOK_SECONDS
        while not self.is_stopping:
            shard = await asyncio.to_thread(self._shards.take, self._worker)
            if shard is None:
                if not await asyncio.to_thread(self._shards.open_shards):
                    return
                await self._pause(waits)  # another worker has the rest, but may still die
                waits = _LOOK_SECONDS if self._tasks else min(2 * waits, _BEAT_SECONDS)
                continue
            waits = _LOOK_SECONDS
            self._held.add(shard.number)
            work = await self._open(shard)
            if work is None or not await self._is_placed(work):
                self._held.discard(shard.number)
                continue  # another has it by now, or this is a stop
            self._running.append(work)
            task = group.create_task(self._drive(work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, shard: Shard) -> ShardRun | None:
        while not self.is_stopping:
            work = await asyncio.to_thread(self._runner.open, shard, self._shared)
            if work is not None:
                return work
        return None

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.is_stopping and time.monotonic() < until:
            await asyncio.sleep(min(0.05, seconds))

    async def _is_placed(self, work: ShardRun) -> bool:
        """Wait until earlier shards have sent nearly all their calls, and there is money."""
        is_placed = False
        try:
            while not (is_placed or work.is_lost or self.is_stopping):
                waiting = sum(each.session.waiting for each in self._running)
                window = max(_WINDOW_LEAST, 2 * self._paces.window)
                if len(self._running) < _OPEN_MOST and waiting < window:
                    is_placed = await self._shared_limits.open(work)
                if not is_placed:
                    await asyncio.sleep(_TICK_SECONDS)
        finally:
            if not is_placed:
                work.leave()
        return is_placed

    async def _drive(self, work: ShardRun) -> None:
        session = work.session
        state = session.state
        self.counter.known += sum(state.count(each) for each in JobStatus if each.is_final)
        session.sinks.watch(self.counter.emit)
        try:
            await session.run()
        except BaseException:
            work.leave()
            raise
        finally:
            work.is_open = False
            self._running.remove(work)
        if session.context.stop.error is not None:
            self._fail(session.context.stop.error)
        if not work.is_whole:
            self._held.discard(work.shard.number)
            await asyncio.to_thread(work.leave)
            return
        tally = await asyncio.to_thread(work.finish)
        is_winner = await asyncio.to_thread(self._shards.commit, work.shard, self._worker, tally)
        self._held.discard(work.shard.number)
        await asyncio.to_thread(work.clear, tally, is_winner=is_winner)

    async def _beat(self) -> None:
        while True:
            held = list(self._held)
            await asyncio.to_thread(self._shards.renew, self._worker, self.report(), held)
            down = self._servers.pool.down_since
            if down is not None and time.monotonic() - down > _DOWN_SECONDS:
                urls = ", ".join(each.url for each in self._servers.pool.servers)
                self._fail(
                    ProviderUnavailableError(
                        f"no server can be reached for {_DOWN_SECONDS:g} s: {urls}",
                        hint="start one; the same command then resumes",
                    )
                )
            if self.is_left():
                self.stop("stop: the process that started this one is gone")
            await asyncio.sleep(_BEAT_SECONDS)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        with contextlib.suppress(RuntimeError):
            self.stop(f"stop: {error}")
