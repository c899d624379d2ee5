"""Held calls from arrival to answer, across restarts of the gateway."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiohttp import web

from batchata.gateway.batches.records import KEPT_HEADERS
from batchata.gateway.held.folder import Call, Found, Group, HeldFolder
from batchata.gateway.held.group_runner import GroupRunner, Settle
from batchata.gateway.held.keys import HeldKeys
from batchata.gateway.held.settling import STREAMS, asked_of, exchange_of
from batchata.gateway.held.waiting import HeldCall, answer
from batchata.gateway.proxy.config.model import ToBatchSection
from batchata.gateway.proxy.exchange import CHAT, MESSAGES, RESPONSES, Answered, Exchange
from batchata.gateway.proxy.http.connections import may_be_gone
from batchata.gateway.proxy.http.headers import by_name
from batchata.gateway.proxy.http.upstreams import Upstreams
from batchata.gateway.proxy.tape.cassette import body_key
from batchata.gateway.wire.objects import without_fields
from batchata.gateway.wire.vendors import Vendor
from batchata.providers.registry import provider_names

ENDPOINTS: Final = frozenset({CHAT, RESPONSES, MESSAGES})
#: parts of a request that batches do not support, or that ask for another price
_LIVE_ONLY: Final = ("service_tier", "background", "speed", "inference_geo")
#: a group is sent before it grows larger than this
_MOST_CALLS: Final = 10_000
_MOST_BYTES: Final = 64 * 1024 * 1024


class _Lane(NamedTuple):
    """What calls must have in common to be sent to a vendor together."""

    vendor: Vendor
    owner: str
    upstream: str
    provider: str
    endpoint: str
    headers: tuple[tuple[str, str], ...]


@dataclass(slots=True, eq=False)
class _Gathering:
    """Calls that will be sent to the vendor together."""

    calls: list[HeldCall] = field(default_factory=list)
    size: int = 0
    timer: asyncio.TimerHandle | None = None


class HeldCalls:
    """Takes in live calls, sends them as batches, and answers clients that wait or come back."""

    def __init__(
        self,
        section: ToBatchSection,
        upstreams: Upstreams,
        prices: Mapping[str, Mapping[str, Any]],
        settle: Settle,
        *,
        is_live: Callable[[str], bool],
        shutdown_seconds: float,
    ) -> None:
        self._section = section
        self._upstreams = upstreams
        self._settle = settle
        self._is_live = is_live  #: tells sessions whose calls are not held
        self._shutdown_seconds = shutdown_seconds
        self._folder = HeldFolder(section.directory)
        self._keys = HeldKeys()
        self._by_key: dict[bytes, list[HeldCall]] = {}
        self._gathering: dict[_Lane, _Gathering] = {}
        self._runner = GroupRunner(
            self._folder,
            upstreams,
            prices,
            keys=self._keys,
            settle=settle,
            forget=self._forget,
        )

    def open(self) -> None:
        """Lock the folder, and resume what an earlier process left in it.

        Raises StateError when the folder cannot be used.
        """
        for each in self._folder.open():
            calls = self._found(each)
            if calls:
                self._runner.carry(each.group, calls)
            else:
                self._folder.drop(each.group)

    def _found(self, found: Found) -> list[HeldCall]:
        """The calls of a group whose answers no client has received."""
        group, bodies, given, settled = found
        upstream = next((u for u in self._upstreams.all if u.name == group.upstream), None)
        calls = [self._held(each, group) for each in group.calls if each.id not in given]
        for held in calls:
            if upstream is not None and held.call.id not in settled:
                body = bodies[held.call.id]
                held.exchange = exchange_of(held.call.asked, group, upstream, body)
        return calls

    def key_of(self, exchange: Exchange) -> bytes:
        """A key that equal calls of a client share; empty for a call that is not held."""
        body = exchange.json
        if exchange.endpoint not in ENDPOINTS or body is None or exchange.spilled is not None:
            return b""
        is_known = exchange.target == exchange.endpoint
        if (
            not is_known
            or self._is_live(exchange.session_id)
            or any(body.get(name) for name in _LIVE_ONLY)
        ):
            return b""
        return body_key(exchange, exchange.client)

    def known(self, exchange: Exchange, key: bytes) -> HeldCall | None:
        """An equal call that nobody is waiting for any more."""
        found = next((each for each in self._by_key.get(key, ()) if not each.is_awaited), None)
        if found is not None:
            self._keys.remember(exchange)
        return found

    async def again(
        self, request: web.BaseRequest, exchange: Exchange, held: HeldCall
    ) -> web.StreamResponse:
        """Give a client that came back the answer to its earlier call."""
        response = await self._answer(request, exchange, held)
        status = held.status or response.status
        self._settle(exchange, Answered(status=status, source="to_batch"))
        return response

    async def take(
        self, request: web.BaseRequest, exchange: Exchange, key: bytes
    ) -> web.StreamResponse:
        """Hold a call; from now on its answer settles it, even if the client has gone."""
        return await self._answer(request, exchange, self._gather(exchange, key))

    def _gather(self, exchange: Exchange, key: bytes) -> HeldCall:
        owner = self._keys.remember(exchange)
        call = Call(f"held-{secrets.token_hex(12)}", key, asked_of(exchange))
        held = self._held(call, None)
        held.exchange, held.body = exchange, _whole(exchange)
        exchange.is_sent = exchange.is_ended = True
        lane = _lane(exchange, owner)
        gathering = self._gathering.get(lane)
        if gathering is None:
            gathering = self._gathering[lane] = _Gathering()
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
            ending=self._runner.ending,
            beat_seconds=self._section.heartbeat_seconds,
        )
        transport = request.transport
        is_there = transport is not None and not transport.is_closing()
        if held.done.done() and is_there and not may_be_gone(request):
            self._forget(held)
            self._runner.given(held)
        return response

    def gauges(self) -> dict[str, float]:
        """How many calls wait for a batch, are in one, and have answers nobody has fetched."""
        ready = [each.done.done() for each in self._runner.open_calls]
        gathered = sum(len(each.calls) for each in self._gathering.values())
        return {
            "held_gathering": gathered,
            "held_in_batches": ready.count(False),
            "held_ready": ready.count(True),
        }

    def stop(self) -> None:
        """Send nothing more, and tell clients that wait, or still come, to ask again."""
        self._runner.stop()

    async def aclose(self) -> None:
        """Release the folder; the next process collects what vendors have."""
        for gathering in self._gathering.values():
            if gathering.timer is not None:
                gathering.timer.cancel()
            for held in gathering.calls:
                self._runner.unsent(held, "the gateway ended")
        self._gathering.clear()
        await self._runner.aclose(self._shutdown_seconds)
        self._folder.close()

    def _held(self, call: Call, group: Group | None) -> HeldCall:
        held = HeldCall(call, asyncio.get_running_loop().create_future(), group=group)
        self._by_key.setdefault(call.key, []).append(held)
        return held

    def _send(self, lane: _Lane) -> None:
        """Send what was gathered."""
        gathering = self._gathering.pop(lane)
        if gathering.timer is not None:
            gathering.timer.cancel()
        group = Group(
            id=f"held_{secrets.token_hex(12)}",
            vendor=lane.vendor,
            owner=lane.owner,
            upstream=lane.upstream,
            provider=lane.provider,
            endpoint=lane.endpoint,
            headers=dict(lane.headers),
            batch_seconds=self._section.batches_for,
            calls=[each.call for each in gathering.calls],
        )
        self._runner.carry(group, gathering.calls)

    def _forget(self, held: HeldCall) -> None:
        """Give this answer to nobody else: the next equal call gets a new one."""
        twins = self._by_key.get(held.call.key, [])
        if held in twins:
            twins.remove(held)
        if not twins:
            self._by_key.pop(held.call.key, None)


def _lane(exchange: Exchange, owner: str) -> _Lane:
    found, provider = by_name(exchange.headers), exchange.provider
    return _Lane(
        vendor=exchange.vendor,
        owner=owner,
        upstream=exchange.upstream.name,
        provider=provider if provider in provider_names() else exchange.upstream.type,
        endpoint=exchange.path,
        headers=tuple((name, found[name]) for name in KEPT_HEADERS if found.get(name)),
    )


def _whole(exchange: Exchange) -> bytes:
    """The request without the fields of streaming."""
    text, body = exchange.body or b"{}", exchange.json or {}
    return without_fields(text, STREAMS) if any(name in body for name in STREAMS) else text
