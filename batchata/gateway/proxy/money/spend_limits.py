"""Money for calls: set aside before they leave, settled after, and never more than the limit.

The file holds an allowance, somewhat more than what is set aside. A call leaves only when the
allowance on disk covers it; most calls find it large enough and wait for no disk. What an
allowance covered when a process was killed counts as spent: it may have been.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from batchata.core.budget import CostTracker
from batchata.core.errors import StateError
from batchata.stores.spending import TOTAL, Spend, SpendFile

_FLUSH_SECONDS: Final = 0.5
#: how many lines are kept in memory
_MOST_LIMITS: Final = 50_000
_SHARE: Final = 128


class SpendLimit(CostTracker):
    """One limit: for everything, or for one session, key, model or day."""

    def __init__(self, line: Spend, limit: int | None, *, used_by_runs: int = 0) -> None:
        super().__init__()
        self.scope, self.name = self.place = line.scope, line.name
        self.spent = line.spent
        # an allowance that was never given back: its calls may have cost that much
        self.uncertain = line.most - line.spent
        self.named = limit  #: as it was given; `limit` is less by what runs have used
        self.limit = None if limit is None else max(0, limit - used_by_runs)
        self.used_by_runs = used_by_runs  #: of the same state file, from before this process
        self.allowed = self.used
        self.waiting = 0  #: calls that wait for room in it

    @property
    def used(self) -> int:
        """Spent, possibly spent, and set aside (1e-12 USD)."""
        return self.spent + self.uncertain + self.reserved

    def may_fit(self, parts: int) -> bool:
        """True when this much fits once all that is set aside is given back."""
        return self.limit is None or self.spent + self.uncertain + parts <= self.limit

    def target(self) -> int:
        """What the allowance should be: with some room while calls are in flight."""
        limit, used = self.limit, self.used
        if not self.reserved:
            return used
        room = used + max(self.reserved // 2, (limit or 0) // _SHARE)
        return room if limit is None else max(used, min(limit, room))

    def line(self, allowed: int) -> Spend:
        """This limit as a line of the ledger."""
        return Spend(self.scope, self.name, self.spent, self.uncertain, allowed)


def _short(limits: Sequence[SpendLimit], parts: int) -> SpendLimit | None:
    """The first limit that has too little left for this much."""
    for each in limits:
        if not each.fits(parts):
            return each
    return None


class SpendLimits:
    """All limits of a gateway over one state file."""

    def __init__(self, path: Path, *, total: int | None) -> None:
        self._file = SpendFile(path)
        self._all: OrderedDict[tuple[str, str], SpendLimit] = OrderedDict()
        self._dirty: dict[tuple[str, str], SpendLimit] = {}
        self._writing: asyncio.Task[None] | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._is_closing = False
        self._settled: asyncio.Future[None] | None = None  #: for calls that wait for room
        self.total = SpendLimit(
            self._file.read(*TOTAL), total, used_by_runs=self._file.used_by_runs
        )
        self._dirty[TOTAL] = self.total
        #: dearer tiers on which upstreams have put calls that named none
        self.own_tiers = self._file.own_tiers()
        self._new_tiers: dict[str, str] | None = None  #: those that are not on disk yet

    def start(self) -> None:
        """Start to write what has changed now and then."""
        self._flushing = asyncio.get_running_loop().create_task(self._flush_often())

    def of(self, scope: str, name: str, limit: int) -> SpendLimit:
        """The limit of a session, key, model or day."""
        key = (scope, name)
        found = self._all.get(key)
        if found is None:
            found = self._all[key] = SpendLimit(self._file.read(scope, name), limit)
            self._trim()
        self._all.move_to_end(key)
        return found

    async def reserve(
        self, limits: Sequence[SpendLimit], parts: int, wait_seconds: float = 0
    ) -> SpendLimit | None:
        """Set money aside in all of these, or in none; returns the one that has too little, if any.

        Waits up to `wait_seconds` for others to be settled, if that may leave room. Raises
        StateError when the disk refuses; then nothing is set aside.
        """
        short = _short(limits, parts)
        if short is not None and wait_seconds > 0:
            for each in limits:
                each.waiting += 1
            try:
                short = await self._waited(limits, parts, wait_seconds)
            finally:
                for each in limits:
                    each.waiting -= 1
        if short is not None:
            return short
        is_covered = True
        for each in limits:
            each.reserved += parts
            is_covered = is_covered and each.used <= each.allowed
        if not is_covered:
            await self._cover(limits, parts)
        return None

    async def _cover(self, limits: Sequence[SpendLimit], parts: int) -> None:
        """Wait until allowances on disk cover what is set aside; give it back if they cannot."""
        try:
            while any(each.used > each.allowed for each in limits):
                self._touch(limits)
                await self._write()
        except BaseException:
            self.settle(limits, parts, 0)
            raise

    async def _waited(
        self, limits: Sequence[SpendLimit], parts: int, seconds: float
    ) -> SpendLimit | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (short := _short(limits, parts)) is not None:
            left = until - loop.time()
            if left <= 0 or not all(each.may_fit(parts) for each in limits):
                break
            if self._settled is None or self._settled.done():
                self._settled = loop.create_future()
            await asyncio.wait((self._settled,), timeout=left)
        return short

    def regain(self, limits: Sequence[SpendLimit], parts: int) -> bool:
        """Take over what another process set aside; until then it counts as possibly spent.

        False when there is not that much: then nothing changes.
        """
        if any(each.uncertain < parts for each in limits):
            return False
        for each in limits:
            each.uncertain -= parts
            each.reserved += parts
        return True

    def settle(self, limits: Sequence[SpendLimit], parts: int, cost: int) -> None:
        """Turn what was set aside into what the call cost."""
        for each in limits:
            each.settle(parts, cost)
        self._notify(limits)

    def keep(self, limits: Sequence[SpendLimit], parts: int) -> None:
        """Count what was set aside as possibly spent: the cost of the call is unknown."""
        for each in limits:
            each.release(parts)
            each.uncertain += parts
        self._notify(limits)

    def learn_tier(self, upstream: str, tier: str) -> None:
        """Remember the dearer tier of an upstream, also for later processes.

        It is written with the cost of the call that showed it.
        """
        if self.own_tiers.get(upstream) != tier:
            self.own_tiers[upstream] = tier
            self._new_tiers = self.own_tiers.copy()

    async def aclose(self) -> None:
        """Give allowances back and close the file."""
        self._is_closing = True
        self._touch((self.total, *self._all.values()))
        if self._flushing is not None:
            self._flushing.cancel()
        try:
            while self._dirty or self._writing is not None:
                await self._write()
        finally:
            self._file.close()

    def _notify(self, limits: Iterable[SpendLimit]) -> None:
        self._touch(limits)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _touch(self, limits: Iterable[SpendLimit]) -> None:
        for each in limits:
            self._dirty[each.place] = each

    def _trim(self) -> None:
        if len(self._all) <= _MOST_LIMITS or self._writing is not None:
            return  # what is being written now could be read as it was before
        for key, kept in list(self._all.items())[: _MOST_LIMITS // 10]:
            in_use = kept.reserved or kept.waiting
            if not in_use and key not in self._dirty:
                del self._all[key]

    async def _write(self) -> None:
        """Wait until what is dirty now is on disk; those who wait share one commit."""
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._commit())
        await asyncio.shield(self._writing)

    async def _commit(self) -> None:
        try:
            limits, self._dirty = list(self._dirty.values()), {}
            tiers, self._new_tiers = self._new_tiers, None
            targets = [each.used if self._is_closing else each.target() for each in limits]
            for each, target in zip(limits, targets, strict=True):
                # a smaller allowance holds from now on, a larger one once it is on disk
                each.allowed = min(each.allowed, target)
            lines = [each.line(target) for each, target in zip(limits, targets, strict=True)]
            try:
                await asyncio.to_thread(self._file.write, lines, tiers)
            except StateError:
                self._touch(limits)
                self._new_tiers = self._new_tiers or tiers
                raise
            for each, target in zip(limits, targets, strict=True):
                each.allowed = target
        finally:
            self._writing = None

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            if self._dirty:
                await self._flush()

    async def _flush(self) -> None:
        try:
            await self._write()
        except StateError:
            return  # calls that need more allowance get the error; the others are covered
