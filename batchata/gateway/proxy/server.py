"""Puts the gateway together and serves it until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from aiohttp import web

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.admission import Admission
from batchata.gateway.proxy.chain import Chain
from batchata.gateway.proxy.config.model import GatewayConfig, is_loopback
from batchata.gateway.proxy.config.registry import make_interceptor
from batchata.gateway.proxy.core import Core
from batchata.gateway.proxy.front import Front
from batchata.gateway.proxy.http.connections import Listener
from batchata.gateway.proxy.http.forward import Client
from batchata.gateway.proxy.http.guard import Guard
from batchata.gateway.proxy.http.parsing import Limits
from batchata.gateway.proxy.http.upstreams import Upstreams
from batchata.gateway.proxy.interceptor import Interceptor, observes
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.reading.sse import PACKED, decoder_for
from batchata.gateway.proxy.telemetry.emitter import EventEmitter
from batchata.gateway.proxy.telemetry.event_queue import CLOSING_PATIENCE_SECONDS, EventQueue
from batchata.gateway.proxy.telemetry.sessions import Sessions
from batchata.prices import GenaiPriceBook

if TYPE_CHECKING:
    from batchata.gateway.batches.routes import BatchRoutes
    from batchata.gateway.held.held_calls import HeldCalls

LOG: Final = logging.getLogger("batchata.gateway")
_SWEEP_SECONDS: Final = 1.0
#: a signal that comes twice within this time is one: a parent process may have passed it on
_TWICE_SECONDS: Final = 1.0
#: how often a gateway looks for cycles of garbage, which its calls do not make
GARBAGE: Final = (50_000, 20, 100)


@dataclass(slots=True, kw_only=True)
class Running:
    """A gateway that is up: its address and its interceptors."""

    url: str
    interceptors: Sequence[Interceptor]
    queue: EventQueue
    core: Core


@asynccontextmanager
async def running(
    config: GatewayConfig, *, interceptors: Sequence[Interceptor] = ()
) -> AsyncIterator[Running]:
    """Serve while the block runs; `interceptors` come before those of the configuration."""
    isolation = Isolation()
    chain = Chain([*interceptors, *_made(config)], isolation)
    prices = GenaiPriceBook(config.prices)
    for each in chain.all:
        each.book = prices
    queue = EventQueue([each for each in chain.all if observes(each)], isolation)
    sessions = _sessions(config)
    upstreams, guard = Upstreams(config.all_upstreams()), _guard(config)
    client = Client(
        connect_seconds=config.server.connect_seconds,
        idle_seconds=config.server.idle_seconds,
        keepalive_seconds=config.keepalive_seconds,
        sockets=upstreams.sockets,
    )
    batch_routes = _batch_routes(config, upstreams, guard)
    core = Core(
        admission=Admission(upstreams, guard, _limits(config, takes_all=chain.wants_bodies)),
        chain=chain,
        client=client,
        emitter=EventEmitter(queue, sessions, time.monotonic),
        queue=queue,
        prices=prices,
        isolation=isolation,
    )
    held_calls = core.held_calls = _held_calls(config, upstreams, core, batch_routes)
    runner = _runner(config, Front(core, queue, batch_routes, isolation))
    patience = max(config.server.shutdown_seconds, 1.0)
    async with AsyncExitStack() as ending:  # from the last to the first, whatever one raises
        client.open()
        ending.push_async_callback(client.aclose)
        ending.push_async_callback(chain.aclose, seconds=patience)
        await chain.start()
        closing_patience = min(patience, CLOSING_PATIENCE_SECONDS)
        ending.push_async_callback(queue.aclose, patience_seconds=closing_patience)
        queue.start()
        if sessions is not None:
            ending.callback(sessions.end_all)
        ending.push_async_callback(core.aclose)
        if held_calls is not None:
            ending.push_async_callback(held_calls.aclose)
            held_calls.open()
        # takes no more, and lets calls in flight end
        ending.push_async_callback(runner.cleanup)
        if held_calls is not None:
            ending.callback(held_calls.stop)  # before that: waiting clients are told to ask again
        if batch_routes is not None:
            ending.push_async_callback(batch_routes.aclose)
            batch_routes.take_folder()
        host, port = await _listening(runner, config)
        if batch_routes is not None:
            batch_routes.open(_own_url(host, port))
        async with _sweeping(sessions):
            yield Running(url=_url(host, port), interceptors=chain.all, queue=queue, core=core)


async def serve(config: GatewayConfig, *, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until cancelled, SIGINT, SIGTERM or the terminal's end; `on_ready` is told the URL.

    A second signal, or one before it is up, cancels it.
    """
    stopping, is_up, told_at = asyncio.Event(), False, 0.0
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        nonlocal told_at
        is_again = stopping.is_set() and loop.time() - told_at > _TWICE_SECONDS
        if task is not None and (is_again or not is_up):
            task.cancel()
        elif not stopping.is_set():
            told_at = loop.time()
            stopping.set()

    try:
        for number in _ending_signals():
            loop.add_signal_handler(number, stop)
    except (NotImplementedError, RuntimeError, ValueError):
        LOG.debug("signals cannot be handled here; cancel the task to stop")
    async with running(config) as gateway:
        is_up = True
        # what is here now stays, and what comes has no cycles: collect less often
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        LOG.info("gateway on %s", gateway.url)
        for what in missing(config):
            LOG.info("%s: pip install 'batchata[gateway]'", what)
        if (unused := unused_proxy(config)) is not None:
            LOG.warning(unused)
        if on_ready is not None:
            on_ready(gateway.url)
        await stopping.wait()


def missing(config: GatewayConfig) -> Iterator[str]:
    """What cannot be done because a library is missing."""
    for encoding in PACKED:
        if decoder_for(encoding) is None:
            yield f"the usage of answers in {encoding} stays unknown"
    if config.batches is not None and find_spec("pyarrow") is None:
        yield "results of batches are not written to Parquet"


def _ending_signals() -> Iterator[signal.Signals]:
    """Signals that shut a gateway down in order; under `nohup` it survives its terminal."""
    yield from (signal.SIGINT, signal.SIGTERM)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        yield signal.SIGHUP


def unused_proxy(config: GatewayConfig) -> str | None:
    """What to write if the environment names a proxy for an upstream, since it is not used."""
    named = getproxies_environment()
    for each in config.sections:
        parts = urlsplit(each.base_url)
        scheme, host = parts.scheme, parts.hostname or ""
        is_near = is_loopback(host) or proxy_bypass(host)
        if scheme in named and not each.outbound_proxy and not is_near:
            name = f"{scheme.upper()}_PROXY"
            return (
                f"{name} is not used for {each.base_url}: write outbound_proxy: ${{{name}}} in the "
                f'file, or --outbound-proxy "${name}", to reach it that way'
            )
    return None


def _made(config: GatewayConfig) -> list[Interceptor]:
    return [
        make_interceptor(each.type, each.config) for each in config.interceptors if each.enabled
    ]


def _sessions(config: GatewayConfig) -> Sessions | None:
    if not config.sessions.enabled:
        return None
    begin, numbers = secrets.token_hex(6), count(1)
    return Sessions(
        max_sessions=config.sessions.max_sessions,
        ttl_seconds=config.sessions.ttl_seconds,
        clock=time.monotonic,
        new_id=lambda: f"{begin}{next(numbers):x}",
    )


def _limits(config: GatewayConfig, *, takes_all: bool) -> Limits:
    server = config.server
    return Limits(
        memory=server.inspect_bytes,
        disk=server.spill_bytes,
        idle_seconds=server.idle_seconds,
        takes_all=takes_all,
    )


def _guard(config: GatewayConfig) -> Guard:
    server = config.server
    own = (server.host,) if server.is_loopback else ()  # 127.0.0.2 is this machine's too
    return Guard(
        token=server.client_token,
        allowed_hosts=frozenset(each.lower() for each in (*server.allowed_hosts, *own)),
        is_loopback=server.is_loopback,
    )


def _batch_routes(config: GatewayConfig, upstreams: Upstreams, guard: Guard) -> BatchRoutes | None:
    if config.batches is None:
        return None
    from batchata.gateway.batches.routes import BatchRoutes

    return BatchRoutes(config.batches, config, upstreams, guard)


def _held_calls(
    config: GatewayConfig, upstreams: Upstreams, core: Core, batch_routes: BatchRoutes | None
) -> HeldCalls | None:
    if config.to_batch is None:
        return None
    from batchata.gateway.held.held_calls import HeldCalls

    return HeldCalls(
        config.to_batch,
        upstreams,
        config.prices,
        core.settle,
        # a call from a batch of our own would wait for a batch of a batch
        is_live=batch_routes.is_asking if batch_routes is not None else lambda _: False,
        shutdown_seconds=config.server.shutdown_seconds,
    )


def _own_url(host: str, port: int) -> str:
    """Where the gateway reaches itself."""
    return _url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _runner(config: GatewayConfig, front: Front) -> web.ServerRunner:
    server = config.server
    listener = Listener(front.handle, config.sections[0].type, idle_seconds=server.idle_seconds)
    return web.ServerRunner(
        listener, handle_signals=False, shutdown_timeout=server.shutdown_seconds
    )


async def _listening(runner: web.ServerRunner, config: GatewayConfig) -> tuple[str, int]:
    """Start to listen; returns the address and the port.

    Raises ValidationError if they cannot be had.
    """
    server = config.server
    await runner.setup()
    try:
        await web.TCPSite(runner, server.host, server.port, backlog=1024).start()
    except OSError as error:
        raise ValidationError(
            f"the gateway cannot listen on {server.host}:{server.port}: {error.strerror or error}",
            hint="choose another --port, or stop what listens there",
        ) from error
    host, port, *_ = runner.addresses[0]
    return host, port


@asynccontextmanager
async def _sweeping(sessions: Sessions | None) -> AsyncIterator[None]:
    """End silent sessions even while no requests come."""

    async def sweep() -> None:
        while sessions is not None:
            sessions.expire()
            await asyncio.sleep(_SWEEP_SECONDS)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()
