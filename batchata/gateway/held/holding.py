"""Held calls from their arrival to their answer, over restarts of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import web

from batchata.core.errors import AccountStoppedError, BatchataError, StateError
from batchata.core.result import JobResult, Reason
from batchata.core.status import JobStatus
from batchata.gateway.batches.records import KEPT_HEADERS
from batchata.gateway.held.asking import make_run
from batchata.gateway.held.folder import Call, Group, HeldFolder, Request
from batchata.gateway.held.settling import answered_of, asked_of, exchange_of, refused
from batchata.gateway.held.waiting import HeldCall, answer
from batchata.gateway.proxy.cassette import body_key
from batchata.gateway.proxy.config import ToBatchSection
from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES, Answered, Exchange
from batchata.gateway.proxy.headers import by_name
from batchata.gateway.proxy.upstreams import KEY_HEADERS, Upstream, Upstreams
from batchata.gateway.vendor_errors import VendorError
from batchata.providers.registry import provider_names
from batchata.run import BatchRun

LOG: Final = logging.getLogger("batchata.gateway")
ENDPOINTS: Final = frozenset({CHAT, RESPONSES, MESSAGES})
#: parts of a request that batches do not have, or that ask for another price
_LIVE_ONLY: Final = ("service_tier", "background", "speed", "inference_geo")
_STREAMS: Final = ("stream", "stream_options")
#: a group goes out before it is larger than this
_MOST_CALLS: Final = 10_000
_MOST_BYTES: Final = 64 * 1024 * 1024
#: before a run that met a full disk, or the like, is tried again
_AGAIN_SECONDS: Final = 30.0
#: for so long an answer is kept that nobody has asked for again
_KEPT_SECONDS: Final = 86_400.0
Settle = Callable[[Exchange, Answered, float], None]
Lane = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Gathering:
    """Calls that will go to the vendor together."""

    upstream: Upstream
    owner: str
    calls: list[HeldCall] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


class Holding:
    """Takes live calls in, has them asked as batches, and answers whoever waits or comes back."""

    def __init__(
        self,
        section: ToBatchSection,
        upstreams: Upstreams,
        prices: Mapping[str, Mapping[str, Any]],
        settle: Settle,
        *,
        shutdown_seconds: float,
    ) -> None:
        self._section = section
        self._upstreams = {each.name: each for each in upstreams.all}
        self._prices = prices
        self._settle = settle
        self._shutdown_seconds = shutdown_seconds
        self._folder = HeldFolder(section.directory)
        self._by_key: dict[bytes, list[HeldCall]] = {}
        self._gathering: dict[Lane, _Gathering] = {}
        self._open: dict[str, dict[str, HeldCall]] = {}  #: calls without a taker, by group
        self._keys: dict[str, Mapping[str, str]] = {}
        self._runs: set[BatchRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def open(self) -> None:
        """Take the folder, and go on with what an earlier process left in it.

        Raises StateError when the folder cannot be used.
        """
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for group, given, settled in self._folder.open():
            calls = [self._held(each, group) for each in group.calls if each.id not in given]
            upstream = self._upstreams.get(group.upstream)
            for held in calls:
                if upstream is not None and held.call.id not in settled:
                    held.exchange = exchange_of(held.call.asked, group, upstream)
                    held.began = time.monotonic()
            if calls:
                self._carry(group, calls)
            else:
                self._folder.drop(group)

    def key_of(self, exchange: Exchange) -> bytes:
        """Equal for equal calls of one client; empty for a call that is not held."""
        body = exchange.json
        if exchange.endpoint not in ENDPOINTS or body is None:
            return b""
        if any(body.get(name) for name in _LIVE_ONLY) or "?" in exchange.target:
            return b""
        return body_key(exchange, exchange.client)

    def known(self, exchange: Exchange, key: bytes) -> HeldCall | None:
        """A call like this one that nobody waits for any more."""
        found = next((each for each in self._by_key.get(key, ()) if not each.waiters), None)
        if found is not None:
            self._lend(exchange)
        return found

    async def again(
        self, request: web.BaseRequest, exchange: Exchange, held: HeldCall, began: float
    ) -> web.StreamResponse:
        """Give a client that comes back the answer of the call it made before."""
        response = await self._answer(request, exchange, held)
        status = held.status or response.status
        self._settle(exchange, Answered(status=status, source="to_batch"), began)
        return response

    async def take(
        self, request: web.BaseRequest, exchange: Exchange, key: bytes, began: float
    ) -> web.StreamResponse:
        """Hold a call; from now on its answer settles it, whoever is there to see that."""
        return await self._answer(request, exchange, self._gather(exchange, key, began))

    def _gather(self, exchange: Exchange, key: bytes, began: float) -> HeldCall:
        owner = self._lend(exchange)
        call = Call(f"held-{secrets.token_hex(12)}", key, asked_of(exchange))
        held = self._held(call, None)
        held.exchange, held.began, held.body = exchange, began, _whole(exchange)
        exchange.is_sent = exchange.is_ended = True
        found = by_name(exchange.headers)
        kept = tuple((name, found[name]) for name in KEPT_HEADERS if found.get(name))
        lane = (exchange.upstream.name, owner, exchange.provider, exchange.endpoint, kept)
        gathering = self._gathering.get(lane)
        if gathering is None:
            gathering = self._gathering[lane] = _Gathering(exchange.upstream, owner)
            gathering.timer = asyncio.get_running_loop().call_later(
                self._section.gather_for, self._send, lane
            )
        gathering.calls.append(held)
        gathering.size += len(held.body)
        if len(gathering.calls) >= _MOST_CALLS or gathering.size >= _MOST_BYTES:
            self._send(lane)
        return held

    async def _answer(
        self, request: web.BaseRequest, exchange: Exchange, held: HeldCall
    ) -> web.StreamResponse:
        response = await answer(
            request,
            exchange,
            held,
            ending=self._ending,
            beat_seconds=self._section.heartbeat_seconds,
        )
        transport = request.transport
        if held.done.done() and transport is not None and not transport.is_closing():
            self._given(held)
        return response

    def gauges(self) -> dict[str, float]:
        """Calls that wait for a batch, that are in one, and answers that nobody has taken yet."""
        calls = [each for group in self._open.values() for each in group.values()]
        ready = sum(each.done.done() for each in calls)
        gathered = sum(len(each.calls) for each in self._gathering.values())
        return {
            "held_gathering": gathered,
            "held_in_batches": len(calls) - ready,
            "held_ready": ready,
        }

    async def aclose(self) -> None:
        """Send nothing more; what vendors have is collected by the next process."""
        self._ending.set_result(None)
        self._changed.set()
        for gathering in self._gathering.values():
            for held in gathering.calls:
                self._unsent(held, "the gateway ended")
        for run in self._runs:
            run.stop("the gateway ends")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._shutdown_seconds)
        self._folder.close()

    def _held(self, call: Call, group: Group | None) -> HeldCall:
        held = HeldCall(call, asyncio.get_running_loop().create_future(), group=group)
        self._by_key.setdefault(call.key, []).append(held)
        return held

    def _lend(self, exchange: Exchange) -> str:
        """Have the key of a call, for all calls of its client; the client's name."""
        found = by_name(exchange.headers)
        keys = {name: found[name] for name in KEY_HEADERS if found.get(name)}
        own = by_name(exchange.upstream.with_key(()))
        owner = "" if own and own.items() <= keys.items() else exchange.client
        if self._keys.get(owner) != keys:
            self._keys[owner] = keys
            self._notify()
        return owner

    def _send(self, lane: Lane) -> None:
        """Have what was gathered asked."""
        gathering = self._gathering.pop(lane)
        if gathering.timer is not None:
            gathering.timer.cancel()
        first = gathering.calls[0].exchange
        if first is None or first.endpoint is None:
            raise StateError("a call was gathered without its request")
        provider = first.provider
        group = Group(
            id=f"held_{secrets.token_hex(12)}",
            vendor=first.vendor,
            owner=gathering.owner,
            upstream=first.upstream.name,
            provider=provider if provider in provider_names() else first.upstream.type,
            endpoint=first.endpoint,
            headers=dict(lane[-1]),
            batch_seconds=self._section.batches_for,
            calls=[each.call for each in gathering.calls],
        )
        self._carry(group, gathering.calls)

    def _carry(self, group: Group, calls: list[HeldCall]) -> None:
        self._open[group.id] = {each.call.id: each for each in calls}
        task = asyncio.get_running_loop().create_task(self._carried(group, calls))
        self._tasks.add(task)
        task.add_done_callback(partial(self._left, group))

    def _left(self, group: Group, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("held calls %s wait for the next start", group.id, exc_info=error)
            said = f"the gateway failed: {type(error).__name__}"
            self._refuse(group, Reason.OUTCOME_UNKNOWN, said)

    async def _carried(self, group: Group, calls: list[HeldCall]) -> None:
        """From wherever the group stands; it is on disk before the vendor hears of it."""
        while not self._ending.done():
            try:
                if calls[0].group is None and not await self._is_kept(group, calls):
                    return
                if await self._run(group):
                    break
            except (BatchataError, OSError) as error:
                LOG.error("held calls %s: %s", group.id, error)
                await self._pause(_AGAIN_SECONDS)
        if not self._ending.done():
            self._refuse(group, Reason.OUTCOME_UNKNOWN, "no answer came of this call")
            asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._drop, group)

    async def _is_kept(self, group: Group, calls: list[HeldCall]) -> bool:
        """Write a group down; False when that cannot be done: its calls are refused then."""
        requests = [Request(each.call, group.endpoint, each.body) for each in calls]
        try:
            await asyncio.to_thread(self._folder.keep, group, requests)
        except StateError as error:
            LOG.error("%s", error)
            del self._open[group.id]
            body = VendorError(status=503, message=error.message).body(group.vendor)
            for held in calls:
                held.end(503, body)
                self._unsent(held, error.message)
            return False
        for held in calls:
            held.group, held.body = group, b""
        return True

    async def _run(self, group: Group) -> bool:
        """Ask what is not answered yet; False when the gateway ends before that is done."""
        upstream = self._upstreams.get(group.upstream)
        keys = self._key_for(group, upstream)
        while upstream is None or keys is None:
            LOG.info("held calls %s go on when their client asks again", group.id)
            await self._pause(_KEPT_SECONDS)
            if self._ending.done():
                return False
            keys = self._key_for(group, upstream)
        run = await asyncio.to_thread(
            make_run,
            group,
            upstream,
            keys,
            input_file=self._folder.input_of(group),
            state_file=self._folder.state_of(group),
            prices=self._prices,
        )
        self._runs.add(run)
        fresh: list[JobResult] = []
        ending: asyncio.Task[None] | None = None
        try:
            async for result in run.stream():
                fresh.append(result)
                if ending is None or ending.done():
                    ending = asyncio.ensure_future(self._end(group, fresh))
        except AccountStoppedError as error:
            if run.view.submitted:  # paid for, and collected once the account is mended
                raise
            self._refuse(group, Reason.ACCOUNT, error.message)
            return True
        finally:
            self._runs.discard(run)
            if ending is not None:
                await ending
        return run.is_complete

    def _key_for(self, group: Group, upstream: Upstream | None) -> Mapping[str, str] | None:
        own = by_name(upstream.with_key(())) if upstream is not None and not group.owner else {}
        return own or self._keys.get(group.owner)

    async def _end(self, group: Group, fresh: list[JobResult]) -> None:
        """Have the answers of calls, those that come meanwhile too."""
        while fresh:
            results, fresh[:] = fresh[:], []
            found = self._open.get(group.id, {})
            calls = [(found.get(each.job_id), each) for each in results]
            new = [(held, each) for held, each in calls if held and not held.done.done()]
            ids = [held.call.id for held, _ in new if held.exchange is not None]
            await asyncio.to_thread(self._folder.settled, group, ids)
            for held, each in new:
                if each.status is JobStatus.SUCCEEDED:
                    self._have(held, 200, (each.raw_response or "null").encode(), each)
                else:
                    said = refused(group.vendor, each.reason, each.error or "no answer came")
                    self._have(held, *said, each)

    def _refuse(self, group: Group, reason: Reason, message: str) -> None:
        open_calls = self._open.get(group.id, {}).values()
        calls = [each for each in open_calls if not each.done.done()]
        self._folder.settled(group, [each.call.id for each in calls if each.exchange is not None])
        for held in calls:
            self._have(held, *refused(group.vendor, reason, message), None)

    def _have(self, held: HeldCall, status: int, body: bytes, result: JobResult | None) -> None:
        held.end(status, body)
        exchange, held.exchange = held.exchange, None
        if exchange is not None:
            self._settle(exchange, answered_of(exchange, status, body, result), held.began)

    def _unsent(self, held: HeldCall, why: str) -> None:
        """A call that no vendor has heard of: it costs nothing."""
        exchange, held.exchange = held.exchange, None
        if exchange is not None:
            answered = Answered(status=503, ending="unreachable", error=why)
            self._settle(exchange, answered, held.began)

    def _given(self, held: HeldCall) -> None:
        """A client has the answer: the next one that asks the same is given another."""
        group = held.group
        twins = self._by_key.get(held.call.key, [])
        if held not in twins:
            return
        twins.remove(held)
        if not twins:
            del self._by_key[held.call.key]
        if group is None or group.id not in self._open:
            return
        del self._open[group.id][held.call.id]
        with contextlib.suppress(OSError):  # then a call like it may be given it once more
            self._folder.given(group, held.call)
        if not self._open[group.id]:
            self._drop(group)

    def _drop(self, group: Group) -> None:
        for held in tuple(self._open.pop(group.id, {}).values()):
            self._given(held)
        self._folder.drop(group)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _pause(self, seconds: float) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait(
                (changed, self._ending), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            changed.cancel()


def _whole(exchange: Exchange) -> bytes:
    """The request without what only a stream has."""
    body = exchange.json or {}
    if not any(name in body for name in _STREAMS):
        return exchange.body or b"{}"
    return orjson.dumps({name: value for name, value in body.items() if name not in _STREAMS})
