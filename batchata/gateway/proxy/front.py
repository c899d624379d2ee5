"""Takes requests in: for the gateway's own pages, its batch APIs, and otherwise an upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from batchata.gateway.proxy.core import Core
from batchata.gateway.proxy.http.forward import go_on
from batchata.gateway.proxy.isolation import Isolation
from batchata.gateway.proxy.telemetry.event_queue import EventQueue
from batchata.gateway.proxy.telemetry.metrics import CONTENT_TYPE, Gauges

if TYPE_CHECKING:
    from batchata.gateway.batches.routes import BatchRoutes


class Front:
    """Without an application and its router: every path but a few goes to an upstream."""

    def __init__(
        self, core: Core, queue: EventQueue, batch_routes: BatchRoutes | None, isolation: Isolation
    ) -> None:
        self._core = core
        self._queue = queue
        self._batch_routes = batch_routes
        self._isolation = isolation
        self._pages: dict[str, Callable[[], web.Response]] = {
            "/health": self._health,
            "/metrics": self._metrics,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; while observers are far behind, it waits for them."""
        core = self._core
        page = self._pages.get(request.raw_path.partition("?")[0])
        if page is not None and request.method in ("GET", "HEAD"):
            return core.refused(request) or page()
        if self._queue.is_full:
            await self._queue.room()
        if "Expect" in request.headers:
            if (refused := core.refused(request)) is not None:
                refused.force_close()  # what follows may still be the body
                return refused
            await go_on(request)
        answer_batch = (
            self._batch_routes.handler(request) if self._batch_routes is not None else None
        )
        return await (core.handle(request) if answer_batch is None else answer_batch())

    def _health(self) -> web.Response:
        return web.Response(
            body=orjson.dumps({"status": "ok", "in_flight": self._core.metrics.in_flight}),
            content_type="application/json",
        )

    def _metrics(self) -> web.Response:
        core = self._core
        self._queue.catch_up()
        gauges: Gauges = {"events_waiting": self._queue.waiting, **core.gauges()}
        for room in (self._batch_routes, core.held_calls):
            gauges |= room.gauges() if room is not None else {}
        text = core.metrics.text(raised=self._isolation.failures, gauges=gauges)
        return web.Response(text=text, headers={"Content-Type": CONTENT_TYPE})
