"""The interceptors in a row: policies fail closed, observers fail open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.exchange import Exchange, vendor_path
from batchata.gateway.proxy.http.headers import first, to_upstream, with_header, without
from batchata.gateway.proxy.http.parsing import parse_body
from batchata.gateway.proxy.interceptor import (
    Continue,
    Interceptor,
    Outcome,
    Reject,
    Replace,
    Respond,
)
from batchata.gateway.proxy.isolation import HeldUpError, Isolation, is_cancelled, name_of, within

LOG: Final = logging.getLogger("batchata.gateway")
#: how long a client waits for an interceptor that is told of its answer
TOLD_WITHIN_SECONDS: Final = 10.0


class Chain:
    """Calls interceptors in order, those with `is_last` at the end; tells them in reverse."""

    def __init__(self, interceptors: Sequence[Interceptor], isolation: Isolation) -> None:
        self._isolation = isolation
        self.all = tuple(sorted(interceptors, key=lambda each: each.is_last))
        kind = Interceptor
        self._asked = [each for each in self.all if type(each).on_request is not kind.on_request]
        self._observers = [
            each for each in reversed(self.all) if type(each).on_response is not kind.on_response
        ]
        #: True when telling of an end never waits, so no client can leave meanwhile
        self.ends_at_once = all(each.ends_at_once for each in self._observers)
        self.wants_pieces = any(each.wants_pieces for each in self.all)
        self.wants_bodies = any(each.wants_bodies for each in self.all)
        self._started: list[Interceptor] = []

    def gauges(self) -> dict[str, list[float]]:
        """The gauges of interceptors, under their names."""
        found: dict[str, list[float]] = {}
        for each in self._started:
            none: dict[str, float] = {}
            said = self._isolation.asked(each, partial(_numbers, each), none)
            for name, value in said.items():
                found.setdefault(name, []).append(value)
        return found

    async def on_request(self, exchange: Exchange) -> tuple[str, Respond | Reject] | None:
        """Who answers instead of the upstream, and how; None when the request goes on."""
        for each in self._asked:
            try:
                outcome = await each.on_request(exchange)
                if type(outcome) is Continue:
                    continue
                answer = _obeyed(exchange, outcome)
            except asyncio.CancelledError as error:
                if is_cancelled():  # the client has left
                    raise
                LOG.exception("%s failed on exchange %s", name_of(each), exchange.id)
                answer = self._failed(each, error)
            except (Exception, SystemExit) as error:  # an interceptor may raise anything
                LOG.exception("%s failed on exchange %s", name_of(each), exchange.id)
                answer = self._failed(each, error)
            if answer is not None:
                return each.name, answer
        return None

    def _failed(self, interceptor: Interceptor, error: BaseException) -> Reject | None:
        """The refusal when a policy fails; None for an observer, which is passed over."""
        self._isolation.failures += 1
        if not interceptor.is_policy:
            return None
        return Reject(
            message=f"the policy {name_of(interceptor)} failed ({type(error).__name__}): "
            "the request was not sent",
            status=500,
            code="policy_failed",
        )

    async def on_response(self, exchange: Exchange) -> None:
        """Tell of the end; one that fails does not affect the others."""
        for each in self._observers:
            if each.ends_at_once:
                await self._isolation.alone(each, each.on_response(exchange))
                continue
            await self._isolation.alone(each, self._told(each, exchange))

    async def _told(self, interceptor: Interceptor, exchange: Exchange) -> None:
        try:
            await within(interceptor.on_response(exchange), TOLD_WITHIN_SECONDS)
        except HeldUpError:
            if not interceptor.is_policy:
                self._give_up(interceptor)
            raise

    def _give_up(self, interceptor: Interceptor) -> None:
        """Leave an observer out of all calls, at both ends, or what it keeps of one would stay."""
        LOG.error("%s held up answers: it gets no more calls", name_of(interceptor))
        self._asked = [each for each in self._asked if each is not interceptor]
        self._observers = [each for each in self._observers if each is not interceptor]

    async def start(self) -> None:
        """Start all of them; an error in one stops the gateway."""
        for each in self.all:
            await each.start()
            self._started.append(each)

    async def aclose(self, *, seconds: float | None = None) -> None:
        """Close all that have started, whatever one raises; each step may take `seconds`."""
        for each in reversed(self._started):
            await self._isolation.alone(each, each.flush(), seconds=seconds)
            await self._isolation.alone(each, each.aclose(), seconds=seconds)


def _numbers(interceptor: Interceptor) -> dict[str, float]:
    """The gauges of one, under its name; raises for what is not a number."""
    return {f"{interceptor.name}_{name}": +value for name, value in interceptor.gauges().items()}


def _obeyed(exchange: Exchange, outcome: Outcome) -> Respond | Reject | None:
    """The answer that an interceptor gives; None when the request goes on."""
    match outcome:
        case Continue():
            return None
        case Replace():
            put_in(exchange, outcome)
            return None
        case Respond() | Reject():
            return outcome
        case _:
            raise ValidationError(
                f"on_request returned {outcome!r:.80}",
                hint="return CONTINUE, or a Replace, Respond or Reject",
            )


def put_in(exchange: Exchange, outcome: Replace) -> None:
    """Give a request another body or other headers."""
    if outcome.headers is not None:
        length = first(exchange.headers, "content-length")
        headers = without(to_upstream(outcome.headers), "content-length")
        exchange.headers = with_header(headers, "Content-Length", length) if length else headers
    if outcome.body is not None:
        headers = without(exchange.headers, "content-encoding")
        exchange.headers = with_header(headers, "Content-Length", str(len(outcome.body)))
        exchange.body, exchange.spilled, exchange.is_rewritten = outcome.body, None, True
        exchange.json, model = parse_body(outcome.body)
        exchange.model = vendor_path(exchange.path)[1] or model
        exchange.is_unread = bool(outcome.body) and exchange.json is None
