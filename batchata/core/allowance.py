"""Rate limits shared by several processes, each of which holds a few seconds' worth at a time.

What is free and what is held never exceed one burst together, and the pool refills slowly enough
that a burst and a minute's refill stay within the limit: no 60 seconds see more than it allows.
What a process held when it died counts as used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

#: how long a process may hold what it was granted
HOLD_SECONDS: Final = 5.0
#: how many seconds' worth may be used at once
_BURST_SECONDS: Final = 2.0
#: a waiting process gets at least this part of a burst, so that it need not ask for every call
_LEAST_PART: Final = 8
#: a waiting process that is silent for this long loses its place
_PLACE_SECONDS: Final = 2.0
_MOST_WAIT_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.05


class Amount(NamedTuple):
    """A number of calls, and of tokens in them."""

    requests: int = 0
    tokens: int = 0

    def plus(self, other: Amount) -> Amount:
        """The sum of both."""
        return Amount(self.requests + other.requests, self.tokens + other.tokens)

    def minus(self, other: Amount) -> Amount:
        """The difference, which may be negative."""
        return Amount(self.requests - other.requests, self.tokens - other.tokens)

    def has(self, other: Amount) -> bool:
        """True when this is at least as much as the other."""
        return self.requests >= other.requests and self.tokens >= other.tokens


NOTHING: Final = Amount()


class Use(NamedTuple):
    """A process's account of its allowance."""

    spent: Amount = NOTHING  #: since its last account
    kept: Amount = NOTHING  #: what it holds on to
    need: Amount | None = None  #: the call that did not fit
    want: Amount = NOTHING  #: what it could use as well, though nothing waits for it


class Grant(NamedTuple):
    """What a process may use from now on, on top of what it kept."""

    amount: Amount = NOTHING
    wait_seconds: float = 0.0  #: how long to wait before asking again, when nothing was granted


class Rates(NamedTuple):
    """Limits per minute; None means no limit."""

    requests: int | None = None
    tokens: int | None = None

    @property
    def is_set(self) -> bool:
        """True when there is a limit."""
        return self.requests is not None or self.tokens is not None


class Allowance:
    """One process's share of the common rates. Pure: the time is passed in."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._left = NOTHING
        self._spent = NOTHING
        self._recent = NOTHING
        self._need: Amount | None = None
        self._until = 0.0

    @property
    def is_short(self) -> bool:
        """True when a call has to wait for more."""
        return self._need is not None

    @property
    def is_in_use(self) -> bool:
        """True when there is something to account for."""
        return any(self._left) or any(self._spent)

    def wait_seconds(self, tokens: int, now: float) -> float:
        """Zero when a call of this many tokens may leave, else how long to wait and ask again."""
        need = self._limited(Amount(1, tokens))
        if now < self._until and self._left.has(need):
            return 0.0
        if self._need is None or self._need.tokens < tokens:
            self._need = need
        return _POLL_SECONDS

    def use(self, amount: Amount) -> None:
        """Count a call that left, or the difference when it took more or less than expected."""
        amount = self._limited(amount)
        self._left = self._left.minus(amount)
        self._spent = self._spent.plus(amount)

    def _limited(self, amount: Amount) -> Amount:
        """The amount without what has no limit."""
        requests, tokens = self._rates
        return Amount(
            0 if requests is None else amount.requests, 0 if tokens is None else amount.tokens
        )

    def tell(self, now: float) -> Use:
        """Account for what was used and give up what is not kept."""
        spent, need = self._spent, self._need
        kept = want = NOTHING
        if need is None and now < self._until:
            ahead = spent.plus(self._recent)
            ahead = ahead.plus(ahead)
            kept = Amount(*(max(0, min(pair)) for pair in zip(self._left, ahead, strict=True)))
            want = ahead.minus(kept)
        self._recent, self._spent, self._need, self._left = spent, NOTHING, None, kept
        return Use(spent, kept, need, want)

    def grant(self, amount: Amount, told_at: float) -> None:
        """Add what was granted in answer to the account given at `told_at`."""
        self._left = self._left.plus(amount)
        self._until = told_at + HOLD_SECONDS
        if self._need is not None and self._left.has(self._need):
            self._need = None


class Hold(msgspec.Struct):
    """What a process holds, or what it waits for."""

    until: float
    kept: Amount
    need: Amount | None = None
    since: float = 0.0


class SharedRates(msgspec.Struct):
    """The common pool, and who holds or waits for a part of it. Pure: the time is passed in."""

    at: float = 0.0
    #: requests and tokens that are free or held; below zero where a call took more
    pool: tuple[float, float] | None = None
    holds: dict[str, Hold] = {}

    def draw(self, worker: str, use: Use, rates: Rates, now: float) -> Grant:
        """Take a worker's account, and grant what it waits for when its turn comes.

        A waiting worker holds nothing and is granted either all that its call needs or nothing,
        so that no two workers wait for each other.
        """
        self._pass(rates, now)
        mine = self.holds.pop(worker, None)
        self._pay(use.spent)
        since = mine.since if mine is not None and mine.need is not None else now
        free = self._free(since, rates)
        fair = Amount(*(max(0, int(each / (len(self.holds) + 1))) for each in free))
        if use.need is None:
            # what it keeps counts against its fair share
            room = (max(0, there - kept) for there, kept in zip(fair, use.kept, strict=True))
            more = Amount(*map(min, room, use.want))
            self.holds[worker] = Hold(now + HOLD_SECONDS, use.kept.plus(more))
            return Grant(more)
        wait = _wait_seconds(use.need, free, rates)
        if wait:
            self.holds[worker] = Hold(now + _PLACE_SECONDS, NOTHING, use.need, since)
            return Grant(NOTHING, wait)
        given = Amount(*map(max, fair, use.need))
        self.holds[worker] = Hold(now + HOLD_SECONDS, given)
        return Grant(given)

    def _pass(self, rates: Rates, now: float) -> None:
        """Advance to `now`: refill the pool, and count what dead processes held as used."""
        elapsed = min(60.0, max(0.0, now - self.at))
        self.at = now
        for worker, hold in list(self.holds.items()):
            if hold.until < now:
                self._pay(hold.kept)
                del self.holds[worker]
        bursts = [_burst(limit) for limit in rates]
        pool = self.pool or tuple(bursts)
        grown = [
            min(burst, level + elapsed * _per_second(limit))
            for burst, level, limit in zip(bursts, pool, rates, strict=True)
        ]
        self.pool = grown[0], grown[1]

    def _pay(self, spent: Amount) -> None:
        if self.pool is not None:
            self.pool = self.pool[0] - spent.requests, self.pool[1] - spent.tokens

    def _free(self, since: float, rates: Rates) -> list[float]:
        """What nobody holds, and nobody who has waited longer has a claim to."""
        holds, pool = self.holds.values(), self.pool or (0.0, 0.0)
        before = [each.need for each in holds if each.need is not None and each.since < since]
        free: list[float] = []
        for which, limit in enumerate(rates):
            held = sum(each.kept[which] for each in holds)
            claimed = sum(min(_burst(limit), need[which]) for need in before)
            free.append(pool[which] - held - claimed)
        return free


def _wait_seconds(need: Amount, free: Sequence[float], rates: Rates) -> float:
    """How long until there is enough for the call and a few more; zero when there is now."""
    wait = 0.0
    for amount, there, limit in zip(need, free, rates, strict=True):
        least = min(_burst(limit), max(amount, _burst(limit) / _LEAST_PART))
        if there < least:
            wait = max(wait, (least - there) / _per_second(limit))
    return min(_MOST_WAIT_SECONDS, max(_POLL_SECONDS, wait)) if wait else 0.0


def _burst(limit: int | None) -> float:
    return 0.0 if limit is None else max(1.0, limit * _BURST_SECONDS / 60.0)


def _per_second(limit: int | None) -> float:
    """The refill rate: a burst and a minute of it stay less than one above the limit."""
    return 0.0 if limit is None else (limit + 0.999 - _burst(limit)) / 60.0


__all__ = ["HOLD_SECONDS", "Allowance", "Amount", "Grant", "Rates", "SharedRates", "Use"]
