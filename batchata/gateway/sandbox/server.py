"""Puts the sandbox together and serves it until it is told to stop."""

import asyncio
import logging
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from batchata.gateway.sandbox import control, files, middleware, models
from batchata.gateway.sandbox.answers import ScriptedUpstream
from batchata.gateway.sandbox.anthropic import batches as anthropic_batches
from batchata.gateway.sandbox.anthropic import live as anthropic_live
from batchata.gateway.sandbox.openai import background as openai_background
from batchata.gateway.sandbox.openai import batches as openai_batches
from batchata.gateway.sandbox.openai import live as openai_live
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.world import WORLD, Clock, MakeUpstream, World

LOG: Final = logging.getLogger("batchata.gateway")
BANNER: Final = "sandbox on %s: scripted answers, no model is behind it"
MAX_BODY: Final = 600_000_000
SHUTDOWN_SECONDS: Final = 0.5

ROUTES: Final = (
    ("POST", "/v1/files", files.create, "any.files.create"),
    ("GET", "/v1/files", files.list_files, "any.files.list"),
    ("GET", "/v1/files/{id}", files.retrieve, "any.files.retrieve"),
    ("GET", "/v1/files/{id}/content", files.content, "any.files.content"),
    ("DELETE", "/v1/files/{id}", files.delete, "any.files.delete"),
    ("POST", "/v1/batches", openai_batches.create, "openai.batches.create"),
    ("GET", "/v1/batches", openai_batches.list_batches, "openai.batches.list"),
    ("GET", "/v1/batches/{id}", openai_batches.retrieve, "openai.batches.retrieve"),
    ("POST", "/v1/batches/{id}/cancel", openai_batches.cancel, "openai.batches.cancel"),
    ("POST", "/v1/chat/completions", openai_live.chat, "openai.chat"),
    ("POST", "/v1/embeddings", openai_live.embeddings, "openai.embeddings"),
    ("POST", "/v1/responses", openai_live.responses, "openai.responses"),
    ("GET", "/v1/responses/{id}", openai_background.retrieve, "openai.responses.retrieve"),
    (
        "POST",
        "/v1/responses/{id}/cancel",
        openai_background.cancel,
        "openai.responses.cancel",
    ),
    ("GET", "/v1/models", models.list_models, "any.models.list"),
    ("GET", "/v1/models/{id}", models.retrieve_model, "any.models.retrieve"),
    ("POST", "/v1/messages", anthropic_live.messages, "anthropic.messages"),
    (
        "POST",
        "/v1/messages/count_tokens",
        anthropic_live.count_tokens,
        "anthropic.count_tokens",
    ),
    ("POST", "/v1/messages/batches", anthropic_batches.create, "anthropic.batches.create"),
    ("GET", "/v1/messages/batches", anthropic_batches.list_batches, "anthropic.batches.list"),
    (
        "GET",
        "/v1/messages/batches/{id}",
        anthropic_batches.retrieve,
        "anthropic.batches.retrieve",
    ),
    (
        "GET",
        "/v1/messages/batches/{id}/results",
        anthropic_batches.results,
        "anthropic.batches.results",
    ),
    (
        "POST",
        "/v1/messages/batches/{id}/cancel",
        anthropic_batches.cancel,
        "anthropic.batches.cancel",
    ),
    ("DELETE", "/v1/messages/batches/{id}", anthropic_batches.delete, "anthropic.batches.delete"),
    ("GET", "/_sandbox/ledger", control.ledger, "sandbox.ledger"),
    ("GET", "/_sandbox/requests", control.requests, "sandbox.requests"),
    ("GET", "/_sandbox/scenario", control.get_scenario, "sandbox.scenario"),
    ("PUT", "/_sandbox/scenario", control.put_scenario, "sandbox.scenario.put"),
    ("POST", "/_sandbox/reset", control.reset, "sandbox.reset"),
)


def make_app(world: World) -> web.Application:
    """Put the application together around one world."""
    app = web.Application(
        middlewares=(
            middleware.log_requests,
            middleware.answer_errors,
            middleware.check_key,
            middleware.strike_faults,
        ),
        client_max_size=MAX_BODY,
    )
    app[WORLD] = world
    app[middleware.CLOSING] = asyncio.Event()
    app.on_response_prepare.append(middleware.add_headers)
    app.on_shutdown.append(_release)
    for method, path, handler, name in ROUTES:
        app.router.add_route(method, path, handler, name=name)
    return app


async def _release(app: web.Application) -> None:
    app[middleware.CLOSING].set()


@asynccontextmanager
async def running(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    scenario: Scenario | None = None,
    clock: Clock = time.time,
    make_upstream: MakeUpstream = ScriptedUpstream,
) -> AsyncIterator[World]:
    """Serve on a port (0 is any free one) while the block runs; `world.url` tells where."""
    with tempfile.TemporaryDirectory(prefix="batchata-sandbox-") as folder:
        world = World(
            folder=Path(folder),
            clock=clock,
            scenario=scenario or Scenario(),
            make_upstream=make_upstream,
        )
        runner = web.AppRunner(make_app(world), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            address = runner.addresses[0]
            world.url = f"http://{host}:{address[1]}"
            LOG.info(BANNER, world.url)
            yield world
        finally:
            await runner.cleanup()


async def serve(
    host: str = "127.0.0.1",
    port: int = 8080,
    scenario: Scenario | None = None,
    *,
    clock: Clock = time.time,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve in the foreground until cancelled, SIGINT or SIGTERM; `on_ready` is told the URL."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        for number in signals:
            loop.add_signal_handler(number, stopping.set)
    except (NotImplementedError, RuntimeError, ValueError):
        LOG.debug("signals cannot be handled here; cancel the task to stop")
    async with running(host=host, port=port, scenario=scenario, clock=clock) as world:
        if on_ready is not None:
            on_ready(world.url)
        await stopping.wait()
