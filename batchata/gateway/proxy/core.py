"""The journey of an exchange: admission, interceptors, upstream, relay, settlement, events."""

from __future__ import annotations

import asyncio
import logging
import time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from batchata.core.bounds import price_factor
from batchata.core.errors import UnknownPriceError
from batchata.gateway.proxy.admission import Admission, NotAdmittedError, stalled_error
from batchata.gateway.proxy.chain import Chain
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.asking import Payload
from batchata.gateway.proxy.http.forward import (
    BODILESS,
    Client,
    cut,
    head_of,
    response_with,
    surely_unsent,
    upstream_error,
    wait_seconds,
    what_failed,
)
from batchata.gateway.proxy.http.headers import Headers, by_name, without
from batchata.gateway.proxy.http.parsing import Body, StalledBodyError
from batchata.gateway.proxy.interceptor import Reject, Respond
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.money.bounds import tier_of
from batchata.gateway.proxy.money.flex import Content, asked
from batchata.gateway.proxy.reading.tee import Tee
from batchata.gateway.proxy.telemetry.emitter import EventEmitter
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.metrics import Metrics
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.vendors import Vendor
from batchata.ports import PriceBook

if TYPE_CHECKING:
    from batchata.gateway.held.held_calls import HeldCalls

LOG: Final = logging.getLogger("batchata.gateway")
_ONE: Final = Decimal(1)
_SETTLING: Final = "the settlement of an exchange"


class Core:
    """Handles requests; built by `server.running`."""

    def __init__(
        self,
        *,
        admission: Admission,
        chain: Chain,
        client: Client,
        emitter: EventEmitter,
        queue: EventQueue,
        prices: PriceBook,
        isolation: Isolation,
    ) -> None:
        self._admission = admission
        self._chain = chain
        self._client = client
        self._emitter = emitter
        self._queue = queue
        self._prices = prices
        self._isolation = isolation
        self._most = admission.limits.memory
        self._ending: set[asyncio.Task[bool]] = set()
        self.metrics = Metrics()
        self.held_calls: HeldCalls | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            exchange, body = await self._admission.take(request)
        except NotAdmittedError as refused:
            return _refusal(refused.error, refused.vendor)
        self.metrics.in_flight += 1
        try:
            return await self._journey(request, exchange, body)
        finally:
            self.metrics.in_flight -= 1
            body.close()

    def refused(self, request: web.BaseRequest) -> web.StreamResponse | None:
        """The answer to a request that is not admitted; None for one that may be."""
        refused = self._admission.refused(request)
        return None if refused is None else _refusal(refused.error, refused.vendor)

    def gauges(self) -> dict[str, list[float]]:
        """The gauges of interceptors."""
        return self._chain.gauges()

    async def aclose(self) -> None:
        """Wait until what clients left behind is settled."""
        while self._ending:
            await asyncio.wait(self._ending)

    async def _journey(
        self, request: web.BaseRequest, exchange: Exchange, body: Body
    ) -> web.StreamResponse:
        if exchange.endpoint is not None:
            self._emitter.began(exchange, exchange.session_id)
        held_calls = self.held_calls
        key = held_calls.key_of(exchange) if held_calls is not None else b""
        try:
            if held_calls is not None and key and (held := held_calls.known(exchange, key)):
                return await held_calls.again(request, exchange, held)
            outcome = await self._chain.on_request(exchange)
            if outcome is not None:
                return await self._answer_here(request, exchange, outcome)
            if held_calls is not None and key and held_calls.key_of(exchange):
                return await held_calls.take(request, exchange, key)
            payload = exchange.body if exchange.is_rewritten else body.payload
            return await self._forward(request, exchange, payload)
        finally:
            if not exchange.is_ended:
                self._left(exchange)

    async def _forward(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        payload: Payload,
    ) -> web.StreamResponse:
        exchange.is_sent = True
        try:
            if exchange.is_on_flex:
                async with asked(self._client, exchange, payload) as (upstream, content):
                    return await self._relay(request, exchange, upstream, content)
            async with self._client.send(exchange, payload) as upstream:
                return await self._relay(request, exchange, upstream, upstream.content)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            if exchange.answer is not None:
                raise
            failed = upstream_error(error, exchange)
            LOG.warning("exchange %s: %s", exchange.id, failed.message)
            exchange.answer = Answered(
                status=failed.status,
                ending="unreachable" if surely_unsent(error) else "broken",
                error=failed.message,
                error_type=type(error).__name__,
            )
            await self._finish(exchange)
            return _refusal(failed, exchange.vendor)
        except StalledBodyError as stalled:
            failed = stalled_error(stalled)
            exchange.answer = Answered(
                status=failed.status, ending="broken", error=failed.message, error_type=failed.code
            )
            await self._finish(exchange)
            return _refusal(failed, exchange.vendor)

    async def _relay(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        upstream: aiohttp.ClientResponse,
        content: Content,
    ) -> web.StreamResponse:
        answered = head_of(upstream, exchange)
        named, wants_pieces = upstream.headers, self._chain.wants_pieces
        tee = Tee(exchange, answered, named, most=self._most, wants_pieces=wants_pieces)
        response: web.StreamResponse | None = None
        exchange.answer = answered
        try:
            if answered.is_stream:
                response = response_with(answered.status, upstream.reason, answered.headers)
                await response.prepare(request)
            while piece := await content.readany():
                tee.feed(piece, time.monotonic() - exchange.began_seconds)
                if response is None:
                    if content.at_eof():
                        break
                    response = response_with(answered.status, upstream.reason, answered.headers)
                    await response.prepare(request)
                await response.write(piece)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            answered.ending = "disconnected" if request.transport is None else "broken"
            answered.error, answered.error_type = what_failed(error), type(error).__name__
            tee.finish()
            if response is None:
                exchange.answer = None
                raise
            LOG.warning("exchange %s: the answer broke off: %s", exchange.id, answered.error)
            await self._finish(exchange)
            cut(request)
            raise ConnectionResetError("the answer broke off") from error
        except asyncio.CancelledError:
            answered.ending = "disconnected"
            tee.finish()
            raise
        tee.finish()
        await self._finish(exchange)
        if response is None:
            return response_with(answered.status, upstream.reason, answered.headers, piece)
        await response.write_eof()
        return response

    def settle(self, exchange: Exchange, answered: Answered) -> None:
        """Settle an exchange that was held, now that its answer has come."""
        exchange.answer = answered
        self._settling(exchange)

    async def _answer_here(
        self,
        request: web.BaseRequest,
        exchange: Exchange,
        outcome: tuple[str, Respond | Reject],
    ) -> web.StreamResponse:
        name, answer = outcome
        if isinstance(answer, Reject):
            error = VendorError(status=answer.status, message=answer.message, code=answer.code)
            exchange.answer = Answered(
                status=answer.status,
                source=name,
                error=answer.message,
                error_type=answer.code,
            )
            await self._finish(exchange)
            return _refusal(
                error, exchange.vendor, without(end_headers(answer.headers), "content-type")
            )
        answered = exchange.answer = Answered(
            status=answer.status, headers=end_headers(answer.headers), source=name
        )
        named = by_name(answered.headers)
        tee = Tee(exchange, answered, named, most=self._most, wants_pieces=False)
        if not answer.pieces or exchange.method == "HEAD" or answer.status in BODILESS:
            tee.feed(answer.body, time.monotonic() - exchange.began_seconds)
            tee.finish()
            await self._finish(exchange)
            return response_with(answer.status, None, answered.headers, answer.body)
        response = response_with(answer.status, None, answered.headers)
        await response.prepare(request)
        for seconds, piece in answer.pieces:
            await wait_seconds(seconds)
            tee.feed(piece, time.monotonic() - exchange.began_seconds)
            await response.write(piece)
        answered.ending = "broken" if answer.is_cut else answered.ending
        tee.finish()
        await self._finish(exchange)
        if answer.is_cut:
            cut(request)
            raise ConnectionResetError("the recorded answer ends here")
        await response.write_eof()
        return response

    def _left(self, exchange: Exchange) -> None:
        """The client went away: the upstream is released, money and events are not yet settled."""
        answered = exchange.answer or Answered(status=499)
        answered.ending = "disconnected"
        answered.error = answered.error or "the client went away"
        answered.error_type = answered.error_type or "disconnected"
        exchange.answer = answered
        self._settling(exchange)

    async def _finish(self, exchange: Exchange) -> None:
        """Wait until an exchange is settled; whatever fails in it, the client has its answer."""
        if self._chain.ends_at_once:
            exchange.is_ended = True
            await self._isolation.alone(_SETTLING, self._settlement(exchange))
            return
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling(exchange).add_done_callback(partial(_resolve, ended))
        await ended

    def _settling(self, exchange: Exchange) -> asyncio.Task[bool]:
        """Settle an exchange, even if its client goes away meanwhile."""
        exchange.is_ended = True
        settled = self._isolation.alone(_SETTLING, self._settlement(exchange))
        task = asyncio.get_running_loop().create_task(settled)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _settlement(self, exchange: Exchange) -> None:
        """Price, count and report an exchange."""
        answered = exchange.answer
        if answered is None:
            return
        answered.seconds = max(time.monotonic() - exchange.began_seconds, 1e-9)
        self._price(exchange, answered)
        await self._chain.on_response(exchange)
        self._queue.later(partial(self.metrics.count, exchange, answered))
        if exchange.endpoint is not None:
            self._emitter.ended(exchange, answered)

    def _price(self, exchange: Exchange, answered: Answered) -> None:
        if answered.usage is None or answered.source != "upstream" or answered.cost_usd is not None:
            return
        tier = tier_of(exchange, answered.service_tier)
        try:
            card = self._prices.card(exchange.provider, exchange.model, tier)
        except UnknownPriceError:
            return
        cost = card.cost_usd(answered.usage)
        asked, told = price_factor(exchange.json or {}), answered.price_factor
        factor = told if told > asked else asked
        answered.cost_usd = cost if factor == _ONE else cost * factor


def end_headers(headers: Headers) -> Headers:
    """Headers of an answer made here, without the length, which aiohttp sets itself."""
    return without(headers, "content-length", "transfer-encoding", "connection")


def _resolve(ended: asyncio.Future[None], task: asyncio.Task[bool]) -> None:
    if not ended.done():
        ended.set_result(None)


def _refusal(error: VendorError, vendor: Vendor, headers: Headers = ()) -> web.Response:
    response = web.Response(
        body=error.body(vendor), status=error.status, content_type="application/json"
    )
    response.headers.extend(headers)
    return response
