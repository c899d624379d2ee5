"""Several servers of one model behind one live API: the least busy one is asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from batchata.core.errors import OutcomeUnknownError, ProviderError, ProviderUnavailableError
from batchata.core.latencies import Latencies
from batchata.core.result import Reason
from batchata.core.submission import Shape
from batchata.ports import BackgroundAPI, BatchAPI, Codec, FilesAPI, LiveAPI, LiveReply

log = logging.getLogger("batchata.servers")

#: a server with so many faults of its own in a row is left alone until it is healthy again
_FAULTS_MOST: Final = 3
_WATCH_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 5.0
#: a server that has calls in flight and answered none for so long is looked at
_SILENT_SECONDS: Final = 15.0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0


class _Used(msgspec.Struct):
    usage: _Usage | None = None


_used = msgspec.json.Decoder(_Used).decode


@dataclass(slots=True)
class Server:
    """One server: how busy it is, whether it can be asked, and what it did."""

    url: str
    live: LiveAPI
    is_up: bool = True
    in_flight: int = 0
    #: calls it takes at a time: found by what it refuses
    window: float = float("inf")
    paused_until: float = 0.0
    faults: int = 0  #: of its own, in a row
    heard_at: float = 0.0
    answered: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def load(self, now: float) -> tuple[bool, int]:
        """How busy it is; one that is full, or asked for a pause, is busier than any other."""
        return self.in_flight >= self.window or now < self.paused_until, self.in_flight

    def report(self) -> dict[str, Any]:
        """What it did so far."""
        return {
            "url": self.url,
            "is_up": self.is_up,
            "answered": self.answered,
            "failed": self.failed,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "latencies": self.latencies.to_dict(),
        }


class ServerPool:
    """A LiveAPI over several servers.

    A call that a server surely did not take (it cannot be reached, or says that it is busy) goes
    to another at once; one that a server may have taken does not. `watch()` looks after servers
    that are down.
    """

    def __init__(
        self,
        lives: Mapping[str, LiveAPI],
        probe: Callable[[str], Awaitable[None]],
        *,
        patience_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.servers = [Server(url, live) for url, live in lives.items()]
        self.request_bytes = min(
            (live.request_bytes for live in lives.values() if live.request_bytes), default=None
        )
        self._probe = probe
        self._patience = patience_seconds
        self._clock = clock
        self._turn = 0
        self._is_any_up = asyncio.Event()
        self._is_any_up.set()
        self._is_closed = False
        self.down_since: float | None = None  #: when the last server went down, by the clock

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask one question of the least busy server."""
        refused: list[Server] = []
        reply: LiveReply | None = None
        while True:
            server = self._least_busy(refused)
            if server is None:
                if reply is not None:
                    return reply  # every server that is up is too busy
                await self._wait_for_any()
                refused.clear()
                continue
            try:
                reply = await self._ask(server, shape, body)
            except OutcomeUnknownError as error:
                self._fault(server, error.message)
                raise
            except ProviderUnavailableError as error:
                self._down(server, error.message)
                continue
            if not reply.is_congested:
                return reply
            refused.append(server)

    def _least_busy(self, but: Sequence[Server]) -> Server | None:
        able = [each for each in self.servers if each.is_up and each not in but]
        if not able:
            return None
        self._turn += 1  # servers that are equally busy take turns
        now, first = self._clock(), self._turn % len(able)
        return min((*able[first:], *able[:first]), key=lambda each: each.load(now))

    async def _ask(self, server: Server, shape: Shape, body: bytes) -> LiveReply:
        began = self._clock()
        if not server.in_flight:
            server.heard_at = began
        server.in_flight += 1
        try:
            reply = await server.live.send(shape, body)
        except ProviderError:
            server.failed += 1
            raise
        finally:
            server.in_flight -= 1
        now = server.heard_at = self._clock()
        if reply.is_congested:
            self._congested(server, reply, now)
        elif reply.failure is None:
            self._answered(server, reply, now - began)
        else:
            server.failed += 1
            if reply.failure.reason is Reason.SERVER_ERROR:
                self._fault(server, reply.failure.message)
        return reply

    def _answered(self, server: Server, reply: LiveReply, seconds: float) -> None:
        server.answered += 1
        server.faults = 0
        server.latencies.add(seconds)
        if server.window != float("inf"):
            server.window += 1.0 / server.window
        try:
            usage = _used(reply.body or b"{}").usage
        except (ValueError, RecursionError):
            return  # the codec says what is wrong with it
        if usage is not None:
            server.input_tokens += (usage.prompt_tokens or 0) + (usage.input_tokens or 0)
            server.output_tokens += (usage.completion_tokens or 0) + (usage.output_tokens or 0)

    def _congested(self, server: Server, reply: LiveReply, now: float) -> None:
        server.window = max(1.0, 0.9 * min(server.window, server.in_flight + 1))
        wait = reply.quota.retry_after_seconds or 0.0
        server.paused_until = max(server.paused_until, now + wait)

    def _fault(self, server: Server, why: str) -> None:
        server.faults += 1
        # there is nobody to go to beside an only server: its jobs wait its faults out
        if server.faults >= _FAULTS_MOST and len(self.servers) > 1:
            self._down(server, why)

    def _down(self, server: Server, why: str) -> None:
        if not server.is_up:
            return
        server.is_up = False
        log.warning("%s is down: %s", server.url, why)
        if not any(each.is_up for each in self.servers):
            self.down_since = self._clock()
            self._is_any_up.clear()

    async def _wait_for_any(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_any_up.wait(), self._patience)
        if self._is_closed or not any(each.is_up for each in self.servers):
            urls = ", ".join(each.url for each in self.servers)
            raise ProviderUnavailableError(f"no server can be reached: {urls}")

    def exclude(self, url: str, why: str) -> None:
        """Leave a server alone until `watch()` finds it healthy."""
        for server in self.servers:
            if server.url == url:
                self._down(server, why)

    def give_up(self) -> None:
        """Calls that wait for a server to come back end at once."""
        self._is_closed = True
        self._is_any_up.set()

    async def watch(self) -> None:
        """Look again and again at servers that are down or silent, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            await asyncio.gather(*(self._look(each) for each in self.servers if self._is_odd(each)))

    def _is_odd(self, server: Server) -> bool:
        silent = self._clock() - server.heard_at
        return not server.is_up or (server.in_flight > 0 and silent > _SILENT_SECONDS)

    async def _look(self, server: Server) -> None:
        try:
            await asyncio.wait_for(self._probe(server.url), _PROBE_SECONDS)
        except (ProviderError, TimeoutError) as error:
            self._down(server, f"its health check failed: {error or type(error).__name__}")
            return
        server.heard_at = self._clock()
        if not server.is_up:
            log.warning("%s is back", server.url)
            server.is_up, server.faults, server.window = True, 0, float("inf")
            self.down_since = None
            self._is_any_up.set()


class PooledProvider:
    """A provider of live calls only, over a pool; who made it closes it."""

    def __init__(self, name: str, codec: Codec, pool: ServerPool) -> None:
        self.name = name
        self.codec = codec
        self.batch: BatchAPI | None = None
        self.live: LiveAPI | None = pool
        self.background: BackgroundAPI | None = None
        self.files: FilesAPI | None = None

    async def aclose(self) -> None:
        """Connections stay open: several runs share them."""
