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
from batchata.core.result import Failure, Reason
from batchata.core.submission import Shape
from batchata.core.verdict import BROKEN_OFF
from batchata.ports import BackgroundAPI, BatchAPI, Codec, FilesAPI, LiveAPI, LiveReply

log = logging.getLogger("batchata.servers")

#: a server with so many faults of its own in a row is left alone until it is healthy again
_FAULTS_MOST: Final = 3
_WATCH_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 5.0
#: the longest time between two looks at one that is healthy each time and then answers nothing
_LOOK_MOST_SECONDS: Final = 60.0
#: what a server says that does not have the model, is closed to us, or has nobody behind it
_NOT_HERE: Final = (401, 403, 404, 503)
#: a server that has calls in flight and answered none for so long is looked at
_SILENT_SECONDS: Final = 15.0


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0


class _Choice(msgspec.Struct):
    finish_reason: Any = None


class _Body(msgspec.Struct):
    """The parts of an answer that tell whether it is one, and its usage."""

    choices: list[_Choice] | None = None  #: chat completions
    output: msgspec.Raw | None = None  #: responses
    content: msgspec.Raw | None = None  #: messages
    data: msgspec.Raw | None = None  #: embeddings
    usage: _Usage | None = None

    @property
    def is_empty(self) -> bool:
        """True when there is no answer of any kind in it."""
        others = self.output, self.content, self.data
        return not self.choices and all(each is None for each in others)

    @property
    def is_broken_off(self) -> bool:
        """True when the server did not bring the answer to its end."""
        first = self.choices[0] if self.choices else _Choice()
        return isinstance(first.finish_reason, str) and first.finish_reason in BROKEN_OFF


_read = msgspec.json.Decoder(_Body).decode


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
    returns: int = 0  #: how often it was healthy again, and has not answered since
    look_at: float = 0.0  #: when it is looked at while it is down
    heard_at: float = 0.0
    answered: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    def load(self, now: float) -> tuple[bool, int]:
        """How busy the server is; one that is full or asked for a pause counts as busiest."""
        return self.in_flight >= self.window or now < self.paused_until, self.in_flight

    def report(self) -> dict[str, Any]:
        """What the server has done so far."""
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

    A call that a server surely did not take (it cannot be reached, is busy or closed, does not have
    the model, or says what is no answer) goes to another at once; one that a server may have taken
    does not. `watch()` looks after servers that are down.
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
                    return reply  # no server that is up can take it now
                await self._wait_for_any()
                refused.clear()
                continue
            try:
                said, is_left = await self._ask(server, shape, body)
            except OutcomeUnknownError as error:
                self._fault(server, error.message)
                raise
            except ProviderUnavailableError as error:
                self._down(server, error.message)
                continue
            if not is_left:
                return said
            refused.append(server)
            if reply is None or not reply.is_congested:  # one that is busy will answer yet
                reply = said

    def _least_busy(self, but: Sequence[Server]) -> Server | None:
        able = [each for each in self.servers if each.is_up and each not in but]
        if not able:
            return None
        self._turn += 1  # servers that are equally busy take turns
        now, first = self._clock(), self._turn % len(able)
        return min((*able[first:], *able[:first]), key=lambda each: each.load(now))

    async def _ask(self, server: Server, shape: Shape, body: bytes) -> tuple[LiveReply, bool]:
        """What a server says, and whether another one may be asked as this one did not answer."""
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
            return reply, True
        if reply.failure is not None:
            return reply, self._failed(server, reply.failure)
        return reply, not self._answered(server, reply.body or b"", now - began)

    def _failed(self, server: Server, failure: Failure) -> bool:
        """True for a call that another server may take, as this one surely did not."""
        server.failed += 1
        if failure.status in _NOT_HERE:
            self._fault(server, failure.message, is_last_asked=failure.status != 503)
            return True
        if failure.reason in (Reason.SERVER_ERROR, Reason.OVERLOADED):
            self._fault(server, failure.message)
        return False

    def _answered(self, server: Server, data: bytes, seconds: float) -> bool:
        body = _body_of(data)
        if body.is_empty or body.is_broken_off:
            server.failed += 1
            said = "breaks answers off" if body.is_broken_off else f"answers {data[:80]!r}"
            self._fault(server, f"it {said}", is_last_asked=True)
            return not body.is_empty
        server.answered += 1
        server.faults = server.returns = 0
        server.latencies.add(seconds)
        if server.window != float("inf"):
            server.window += 1.0 / server.window
        if body.usage is not None:
            usage = body.usage
            server.input_tokens += (usage.prompt_tokens or 0) + (usage.input_tokens or 0)
            server.output_tokens += (usage.completion_tokens or 0) + (usage.output_tokens or 0)
        return True

    def _congested(self, server: Server, reply: LiveReply, now: float) -> None:
        server.window = max(1.0, 0.9 * min(server.window, server.in_flight + 1))
        wait = reply.quota.retry_after_seconds or 0.0
        server.paused_until = max(server.paused_until, now + wait)

    def _fault(self, server: Server, why: str, *, is_last_asked: bool = False) -> None:
        """Count a fault; with `is_last_asked` the last server that is up stays so."""
        server.faults += 1
        # there is nobody to go to beside an only server: its jobs wait its faults out
        others = [each for each in self.servers if each is not server]
        is_needed = is_last_asked and not any(each.is_up for each in others)
        if server.faults >= _FAULTS_MOST and others and not is_needed:
            self._down(server, why)

    def _down(self, server: Server, why: str) -> None:
        if not server.is_up:
            return
        server.is_up = False
        wait = min(2**server.returns - 1, _LOOK_MOST_SECONDS)
        server.look_at = self._clock() + wait
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
        """End calls that wait for a server to come back."""
        self._is_closed = True
        self._is_any_up.set()

    async def watch(self) -> None:
        """Look again and again at servers that are down or silent, until cancelled."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once at the servers whose turn it is."""
        await asyncio.gather(*(self._look(each) for each in self.servers if self._is_odd(each)))

    def _is_odd(self, server: Server) -> bool:
        now = self._clock()
        if not server.is_up:
            return now >= server.look_at
        return server.in_flight > 0 and now - server.heard_at > _SILENT_SECONDS

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
            server.returns = min(server.returns + 1, 10)
            self.down_since = None
            self._is_any_up.set()


def _body_of(data: bytes) -> _Body:
    """The parts of an answer; for one that cannot be read the codec says what is wrong."""
    try:
        return _read(data)
    except (ValueError, RecursionError):
        return _Body(data=msgspec.Raw(data)) if data.lstrip()[:1] == b"{" else _Body()


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
