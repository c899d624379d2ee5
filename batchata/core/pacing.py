"""How fast one model may be asked: caps, the vendor's own limits, and what congestion teaches."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from batchata.core.allowance import Allowance, Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a vendor's answer says of its limits; None where it says nothing."""

    requests_limit: int | None = None  #: per minute; None too where it holds for longer
    requests_left: int | None = None
    requests_reset_seconds: float | None = None
    tokens_limit: int | None = None  #: per minute
    tokens_left: int | None = None
    tokens_reset_seconds: float | None = None
    retry_after_seconds: float | None = None

    @property
    def is_silent(self) -> bool:
        """True when the vendor says nothing of its limits."""
        return self.requests_limit is None and self.tokens_limit is None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceCaps:
    """The user's own caps; None: as much as the vendor takes."""

    concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


class _Bucket:
    """A token bucket for a limit per minute: refilled steadily, with bursts of a second's worth."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.per_minute = per_minute
        self._most = max(1.0, per_minute / 60.0)
        self._rate = per_minute * (59.0 / 60.0) / 60.0
        self._level = self._most
        self._at = now

    def wait_seconds(self, amount: float, now: float) -> float:
        """Seconds until `amount` is there; more than a whole burst waits for a full bucket."""
        self._refill(now)
        missing = min(amount, self._most) - self._level
        return missing / self._rate if missing > 0 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Use `amount`, into debt if need be."""
        self._refill(now)
        self._level -= amount

    def hold_to(self, left: float, now: float) -> None:
        """The vendor counts less than we do: believe it."""
        self._refill(now)
        self._level = min(self._level, left)

    def level(self, now: float) -> float:
        """What may be used right now."""
        self._refill(now)
        return self._level

    def _refill(self, now: float) -> None:
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now


#: where nothing is known yet
_START_WINDOW = 16.0
MOST_WINDOW = 1000
_CUT = 0.7
_FREEZE_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
#: a window grows only while it is nearly used
_NEAR = 0.8


class Pace:
    """Decides when the next request to a model may leave. Pure: the time is passed in.

    Without headers the window of requests in flight grows as in TCP: by one for each answer until
    the first congestion, then by one a round; a congestion cuts it once, not again for requests
    that left before the cut.
    """

    def __init__(
        self,
        caps: PaceCaps,
        now: float,
        *,
        hurry: float = 1.0,
        allowance: Allowance | None = None,
        room: int | None = None,
    ) -> None:
        self._caps = caps
        self._allowance = allowance  #: of rates that are shared with other processes
        self._hurry = hurry  #: what the waits that vendors ask for are multiplied by
        #: the most in flight at once; `room` is what the system lets be open
        self.most = float(min(caps.concurrency or MOST_WINDOW, room or sys.maxsize))
        self.window = self.most if caps.concurrency else min(_START_WINDOW, self.most)
        self._is_slow_start = caps.concurrency is None
        self._requests = self._bucket(caps.requests_per_minute, now)
        self._tokens = self._bucket(caps.tokens_per_minute, now)
        self._paused_until = now
        self._frozen_until = now
        self._away_until = now
        self._cut_at = now
        self.in_flight = 0
        self.throttled = 0  #: how often the vendor asked us to slow down

    def _bucket(self, per_minute: int | None, now: float) -> _Bucket | None:
        return _Bucket(float(per_minute), now) if per_minute else None

    def wait_seconds(self, tokens: int, now: float) -> float | None:
        """Seconds until a request of so many tokens may leave; None when too many are in flight."""
        if self.in_flight >= int(self.window):
            return None
        wait = max(self.paused_seconds(now), self._away_until - now)
        if self._requests is not None:
            wait = max(wait, self._requests.wait_seconds(1, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_seconds(tokens, now))
        if self._allowance is not None and wait <= 0:
            wait = self._allowance.wait_seconds(tokens, now)
        return wait

    def paused_seconds(self, now: float) -> float:
        """How much longer the vendor wants no requests."""
        return max(0.0, self._paused_until - now)

    def sent(self, tokens: int, now: float) -> None:
        """A request left."""
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)
        if self._allowance is not None:
            self._allowance.use(Amount(1, tokens))

    def answered(self, quota: Quota, now: float) -> None:
        """A request came back well."""
        was_near = self.in_flight >= self.window * _NEAR
        self.in_flight -= 1
        self._learn(quota, now)
        if was_near and now >= self._frozen_until:
            self.window += 1.0 if self._is_slow_start else 1.0 / self.window
            self.window = min(self.window, self.most)

    def used(self, tokens: int, now: float) -> None:
        """Correct the count for a request that took more or fewer tokens than expected."""
        if self._tokens is not None:
            self._tokens.take(tokens, now)
        if self._allowance is not None:
            self._allowance.use(Amount(0, tokens))

    def failed(self) -> None:
        """A request failed through a fault of its own, which says nothing about the pace."""
        self.in_flight -= 1

    def troubled(self, now: float) -> None:
        """The vendor has a fault of its own (5xx): do not grow for a while."""
        self.in_flight -= 1
        self._frozen_until = now + _FREEZE_SECONDS * self._hurry
        self._is_slow_start = False

    def away(self, seconds: float, now: float) -> None:
        """The server cannot be reached: no request leaves for this long."""
        self._away_until = max(self._away_until, now + seconds * self._hurry)

    def congested(self, quota: Quota, sent_at: float, now: float) -> float:
        """The vendor asked us to slow down; the seconds for which everything pauses."""
        self.in_flight -= 1
        self.throttled += 1
        self._learn(quota, now)
        is_new = sent_at >= self._cut_at
        if is_new:
            self._cut_at = now
            self._is_slow_start = False
            self.window = max(1.0, self.window * _CUT)
        wait = quota.retry_after_seconds
        if wait is None:
            # where nothing can be cut any more, a pause does it
            wait = (_reset(quota) or (_PAUSE_SECONDS if self.window <= 1 else 0)) if is_new else 0
        self._paused_until = max(self._paused_until, now + wait * self._hurry)
        return wait

    def _learn(self, quota: Quota, now: float) -> None:
        if quota.is_silent:
            return
        self._requests = self._taught(
            self._requests, self._caps.requests_per_minute, quota.requests_limit, now
        )
        self._tokens = self._taught(
            self._tokens, self._caps.tokens_per_minute, quota.tokens_limit, now
        )
        if self._requests is not None and quota.requests_left is not None:
            self._requests.hold_to(quota.requests_left, now)
        if self._tokens is not None and quota.tokens_left is not None:
            self._tokens.hold_to(quota.tokens_left, now)

    def _taught(
        self, bucket: _Bucket | None, cap: int | None, limit: int | None, now: float
    ) -> _Bucket | None:
        if limit is None:
            return bucket
        rate = min(limit, cap) if cap else limit
        if bucket is not None and bucket.per_minute == rate:
            return bucket
        return _Bucket(float(rate), now)


def _reset(quota: Quota) -> float:
    resets = [
        reset
        for left, reset in (
            (quota.requests_left, quota.requests_reset_seconds),
            (quota.tokens_left, quota.tokens_reset_seconds),
        )
        if reset is not None and left == 0
    ]
    return min(max(resets), 60.0) if resets else 0.0
