"""`rate_limit`: so many requests and tokens a minute, so many at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from pydantic import Field

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Reject
from batchata.gateway.proxy.interceptors.one_key import ONE_KEY

_PER: Final = ("", "key", "model", "session", "agent")
_MOST_BUCKETS: Final = 100_000
#: buckets that are looked at to find one to drop
_LOOKS: Final = 4
#: the bucket of all others while too many are in use
_OTHERS: Final = "\n"


@dataclass(slots=True)
class Bucket:
    """What one key, model or session may still do; it fills up evenly over a minute."""

    requests: float
    tokens: float
    at: float
    in_flight: int = 0


class RateLimit(Interceptor):
    """Refuses calls above the limits with 429 and `retry-after`, or lets them wait a while.

    Tokens are counted when an answer reports them; a bucket in debt lets nothing in. Keys that are
    new while 100,000 others are in use share one bucket; none is forgotten before it is full again.
    With `per: key` a call that carries several keys is refused.
    """

    name = "rate_limit"
    is_policy = True
    ends_at_once = True
    options: ClassVar = {
        "requests_per_minute": None,
        "tokens_per_minute": None,
        "concurrency": None,
        "per": "",
        "wait_seconds": 0,
    }
    requests_per_minute: float | None
    tokens_per_minute: float | None  #: input and output, counted when an answer reports them
    concurrency: int | None  #: calls at once
    per: str  #: `key`, `model`, `session` or `agent`; by default one limit for all
    wait_seconds: Annotated[float, Field(ge=0)]  #: how long a call may wait for its turn

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        if self.per not in _PER:
            raise ValidationError(
                f"rate_limit: per is {self.per!r}", hint=f"use one of {', '.join(_PER[1:])}"
            )
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (int, float)) or value <= 0):
                raise ValidationError(f"rate_limit: {name} is {value!r}", hint=f"write {name}: 60")
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()
        self._held: dict[str, Bucket] = {}
        self._limits = self._said()

    def _said(self) -> str:
        """The limits in words, for refusals."""
        named = {
            "requests a minute": self.requests_per_minute,
            "tokens a minute": self.tokens_per_minute,
            "calls at once": self.concurrency,
        }
        limits = [f"{value:,.10g} {words}" for words, value in named.items() if value is not None]
        return ", ".join(limits) + (f" for each {self.per}" if self.per else "")

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Let the call in, let it wait, or refuse it."""
        if exchange.endpoint is None:
            return CONTINUE
        if self.per == "key" and exchange.has_several_keys:
            return ONE_KEY
        patience = float(self.wait_seconds)
        while True:
            bucket = self._bucket(exchange)
            missing = self._missing_seconds(bucket)
            if missing <= 0:
                break
            if missing > patience:
                return Reject(
                    message=f"the gateway's rate limit of {self._limits} is reached: try again in "
                    f"{missing:.1f} s",
                    status=429,
                    code="rate_limit_exceeded",
                    headers=(("retry-after", str(max(1, round(missing + 0.5)))),),
                )
            patience -= missing
            await asyncio.sleep(missing)
        bucket.requests -= 1
        bucket.in_flight += 1
        self._held[exchange.id] = bucket
        return CONTINUE

    async def on_response(self, exchange: Exchange) -> None:
        """Count what the call used."""
        bucket = self._held.pop(exchange.id, None)
        if bucket is None:
            return
        bucket.in_flight -= 1
        if exchange.answer is not None and exchange.answer.usage is not None:
            bucket.tokens -= exchange.answer.usage.total_tokens

    def _bucket(self, exchange: Exchange) -> Bucket:
        name = {
            "": "",
            "key": exchange.client,
            "model": exchange.model,
            "session": exchange.session_id,
            "agent": exchange.agent_id,
        }[self.per]
        if name not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            name = name if self._forget_one() else _OTHERS
        found = self._buckets.get(name)
        if found is None:
            found = self._buckets[name] = Bucket(
                self.requests_per_minute or 0, self.tokens_per_minute or 0, time.monotonic()
            )
        self._buckets.move_to_end(name)
        return found

    def _forget_one(self) -> bool:
        """Drop a bucket that is as good as new; False when none of the few looked at is."""
        for _ in range(_LOOKS):
            name, bucket = next(iter(self._buckets.items()))
            self._missing_seconds(bucket)  # fills it up
            is_full = (bucket.requests, bucket.tokens) == (
                self.requests_per_minute or 0,
                self.tokens_per_minute or 0,
            )
            if is_full and not bucket.in_flight:
                del self._buckets[name]
                return True
            self._buckets.move_to_end(name)
        return False

    def _missing_seconds(self, bucket: Bucket) -> float:
        now = time.monotonic()
        passed, bucket.at = now - bucket.at, now
        missing = 0.0
        if self.requests_per_minute is not None:
            pace = self.requests_per_minute / 60
            bucket.requests = min(self.requests_per_minute, bucket.requests + passed * pace)
            missing = max(missing, (1 - bucket.requests) / pace)
        if self.tokens_per_minute is not None:
            pace = self.tokens_per_minute / 60
            bucket.tokens = min(self.tokens_per_minute, bucket.tokens + passed * pace)
            missing = max(missing, -bucket.tokens / pace)
        if self.concurrency is not None and bucket.in_flight >= self.concurrency:
            missing = max(missing, 0.05)
        return missing
