"""The interceptors in a row: policies fail closed, observers fail open."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, assert_never

from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import with_header, without
from batchata.gateway.proxy.http.parsing import parse_body
from batchata.gateway.proxy.interceptor import (
    Continue,
    Interceptor,
    Reject,
    Replace,
    Respond,
)
from batchata.gateway.proxy.isolation import Isolation

LOG: Final = logging.getLogger("batchata.gateway")


class Chain:
    """Asks interceptors in order, those that are `is_last` at the end; tells them in reverse."""

    def __init__(self, interceptors: Sequence[Interceptor], isolation: Isolation) -> None:
        self._isolation = isolation
        self.all = tuple(sorted(interceptors, key=lambda each: each.is_last))
        kind = Interceptor
        self._asked = [each for each in self.all if type(each).on_request is not kind.on_request]
        self._told = [
            each for each in reversed(self.all) if type(each).on_response is not kind.on_response
        ]
        #: True when telling of an end never waits, so that no client can leave meanwhile
        self.ends_at_once = all(each.ends_at_once for each in self._told)
        self.wants_pieces = any(each.wants_pieces for each in self.all)
        self._started: list[Interceptor] = []

    def gauges(self) -> dict[str, float]:
        """What interceptors say in numbers, under their names."""
        return {
            f"{each.name}_{name}": value
            for each in self._started
            for name, value in each.gauges().items()
        }

    async def on_request(self, exchange: Exchange) -> tuple[str, Respond | Reject] | None:
        """Who answers in the upstream's place, and how; None when the request goes on."""
        for each in self._asked:
            try:
                outcome = await each.on_request(exchange)
            except Exception as error:  # what an interceptor may raise is its own
                self._isolation.failures += 1
                LOG.exception("%s failed on exchange %s", each.name, exchange.id)
                if each.is_policy:
                    return each.name, _failed(each, error)
                continue
            match outcome:
                case Continue():
                    continue
                case Replace():
                    put_in(exchange, outcome)
                case Respond() | Reject():
                    return each.name, outcome
                case _:
                    assert_never(outcome)
        return None

    async def on_response(self, exchange: Exchange) -> None:
        """Tell of the end; whoever fails keeps the others from nothing."""
        for each in self._told:
            await self._isolation.alone(each, each.on_response(exchange))

    async def start(self) -> None:
        """Start all of them; what one raises stops the gateway."""
        for each in self.all:
            await each.start()
            self._started.append(each)

    async def aclose(self) -> None:
        """Close all that have started, whatever one of them raises."""
        for each in reversed(self._started):
            await self._isolation.alone(each, each.flush())
            await self._isolation.alone(each, each.aclose())


def _failed(interceptor: Interceptor, error: Exception) -> Reject:
    return Reject(
        message=f"the policy {interceptor.name} failed ({type(error).__name__}): "
        "the request was not sent",
        status=500,
        code="policy_failed",
    )


def put_in(exchange: Exchange, outcome: Replace) -> None:
    """Give a request another body or other headers."""
    if outcome.headers is not None:
        exchange.headers = outcome.headers
    if outcome.body is not None:
        headers = without(exchange.headers, "content-encoding")
        exchange.headers = with_header(headers, "Content-Length", str(len(outcome.body)))
        exchange.body, exchange.spilled = outcome.body, None
        exchange.json, exchange.model = parse_body(outcome.body)
        exchange.is_unread = bool(outcome.body) and exchange.json is None
