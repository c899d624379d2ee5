"""The rates and money that all workers share, drawn by each for the next few seconds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from batchata.core.allowance import HOLD_SECONDS, Allowance, Amount, Rates
from batchata.core.budget import checked_usd
from batchata.core.usage import to_parts
from batchata.engine.paces import Paces
from batchata.generate.config import ProcessingConfig
from batchata.generate.ledger import Funds
from batchata.generate.shard_run import ShardRun, Shards

_TICK_SECONDS: Final = 0.05
#: seconds between a process's reports of what it used
_TELL_SECONDS: Final = 0.5
#: seconds between a shard's requests for money, or returns of it
_ASK_SECONDS: Final = 0.25
#: fewest jobs worth asking money for
_LEAST_JOBS: Final = 32


class SharedLimits:
    """Draws from the ledger what the shards of a process use, and gives back what they do not."""

    def __init__(
        self, shards: Shards, worker: str, limits: ProcessingConfig, answers: Callable[[], int]
    ) -> None:
        self._shards = shards
        self._worker = worker
        self._rates = Rates(limits.rpm, limits.tpm)
        limit = limits.limit_usd
        self._limit = None if limit is None else to_parts(checked_usd(limit))
        self._allowance = Allowance(self._rates)
        self.paces = Paces(self._allowance if self._rates.is_set else None)
        self._answers = answers  #: so far
        self._seen = deque([(time.monotonic(), 0)])
        self._told_at = 0.0
        self._ask_at = 0.0

    async def run(self, works: Sequence[ShardRun]) -> None:
        """Keep the shards in progress supplied, until cancelled."""
        while self._rates.is_set or self._limit is not None:
            self._look()
            if self._rates.is_set:
                await self._draw()
            for work in list(works):
                await self._supply(work)
            await asyncio.sleep(_TICK_SECONDS)

    async def empty(self) -> None:
        """Give back what is left of the rates."""
        if self._rates.is_set:
            use = self._allowance.tell(time.monotonic())._replace(kept=Amount(), need=None)
            await asyncio.to_thread(self._shards.draw, self._worker, use, self._rates)

    async def open(self, work: ShardRun) -> bool:
        """Get money for the first jobs of a shard; False when it has to wait."""
        if self._limit is None:
            return True
        if time.monotonic() < work.ask_at:
            return False
        return await self._ask(work, work.used, work.bounds(self._ahead))

    def _look(self) -> None:
        now = time.monotonic()
        self._seen.append((now, self._answers()))
        while len(self._seen) > 2 and now - self._seen[0][0] > HOLD_SECONDS:
            self._seen.popleft()

    @property
    def _ahead(self) -> int:
        """How many jobs may be sent in the next few seconds."""
        recent = self._answers() - self._seen[0][1]
        return max(_LEAST_JOBS, 2 * int(self.paces.window), recent)

    async def _draw(self) -> None:
        now, allowance = time.monotonic(), self._allowance
        is_due = allowance.is_in_use and now - self._told_at >= _TELL_SECONDS
        if not is_due and not (allowance.is_short and now >= self._ask_at):
            return
        use = allowance.tell(now)
        grant = await asyncio.to_thread(self._shards.draw, self._worker, use, self._rates)
        allowance.grant(grant.amount, now)
        self._told_at, self._ask_at = now, time.monotonic() + grant.wait_seconds
        if any(grant.amount):
            self.paces.changed()

    async def _supply(self, work: ShardRun) -> None:
        """Get more money before a shard runs out, and give back what it no longer needs."""
        context, limit = work.session.context, work.session.state.cost.limit
        if limit is None or not work.is_open or time.monotonic() < work.ask_at:
            return
        supply = context.supply(self._ahead)
        used = work.used + supply.earmarked
        if not supply.bounds:
            if limit > used:
                context.awaits_money = True  # for a job to be asked again
                await self._ask(work, used, ())
        elif context.awaits_money and supply.ready < len(supply.bounds) / 2:
            await self._ask(work, used, supply.bounds)

    async def _ask(self, work: ShardRun, used: int, bounds: Sequence[int]) -> bool:
        """Keep the money in use, and ask for more if there are bounds; True when some was granted.

        A shard that cannot afford its next job keeps nothing spare, so no two block each other.
        """
        work.limit(used)
        work.ask_at = time.monotonic() + _ASK_SECONDS
        funds = Funds(work.sure, used, used + sum(bounds[:1]), used + sum(bounds))
        funded = await asyncio.to_thread(
            self._shards.set_aside, work.shard, self._worker, funds, self._limit or 0
        )
        context = work.session.context
        if funded.is_lost:
            work.is_lost = True
            context.stop.ask("stop: another worker has these rows")
        if not bounds or not work.is_open:
            return True
        work.limit(funded.parts)
        context.awaits_money = not funded.is_final
        if funded.parts > used or funded.is_final:
            self.paces.changed()
            return True
        return False
