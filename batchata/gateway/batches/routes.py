"""The routes of the batch APIs: which requests are theirs, who may call them, and the handlers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import StreamReader, web

from batchata.gateway.batches import anthropic, openai
from batchata.gateway.batches.client_call import ClientCall, secrets_of
from batchata.gateway.batches.records import BatchRecord
from batchata.gateway.batches.runner import LOG, BatchRunner, wall_clock
from batchata.gateway.batches.store import BatchStore
from batchata.gateway.proxy.admission import stalled_error
from batchata.gateway.proxy.config.model import BatchesSection, GatewayConfig
from batchata.gateway.proxy.http.guard import TOKEN_HEADER, Guard
from batchata.gateway.proxy.http.headers import by_name, decoded
from batchata.gateway.proxy.http.parsing import StalledBodyError
from batchata.gateway.proxy.http.upstreams import Upstreams, client_of
from batchata.gateway.wire.errors import RefusedError, VendorError
from batchata.gateway.wire.vendors import Vendor
from batchata.providers.registry import provider_names

_PATH: Final = re.compile(
    r"/v1/(?P<what>files|batches|messages/batches)"
    r"(?:/(?P<id>[\w-]+))?(?:/(?P<part>content|cancel|results))?/?"
)
Handler = Callable[..., Awaitable[web.StreamResponse]]
#: (method, what, is about one, part of it) → handler
_HANDLERS: Final[dict[tuple[str, str, bool, str | None], Handler]] = {
    ("POST", "files", False, None): openai.create_file,
    ("GET", "files", False, None): openai.list_files,
    ("GET", "files", True, None): openai.retrieve_file,
    ("GET", "files", True, "content"): openai.file_content,
    ("DELETE", "files", True, None): openai.delete_file,
    ("POST", "batches", False, None): openai.create_batch,
    ("GET", "batches", False, None): openai.list_batches,
    ("GET", "batches", True, None): openai.retrieve_batch,
    ("POST", "batches", True, "cancel"): openai.cancel_batch,
    ("POST", "messages/batches", False, None): anthropic.create_batch,
    ("GET", "messages/batches", False, None): anthropic.list_batches,
    ("GET", "messages/batches", True, None): anthropic.retrieve_batch,
    ("GET", "messages/batches", True, "results"): anthropic.results,
    ("POST", "messages/batches", True, "cancel"): anthropic.cancel_batch,
    ("DELETE", "messages/batches", True, None): anthropic.delete_batch,
}


class BatchRoutes:
    """The batch APIs of a gateway."""

    def __init__(
        self, section: BatchesSection, config: GatewayConfig, upstreams: Upstreams, guard: Guard
    ) -> None:
        token = config.server.client_token
        self._upstreams = upstreams
        self._idle_seconds = config.server.idle_seconds
        self._guard = guard
        self._store = BatchStore(section.directory, wall_clock)
        self._runner = BatchRunner(
            self._store,
            section,
            headers={TOKEN_HEADER: token} if token else {},
            server=config.server,
            prices=config.prices,
            provider_of=self._provider_of,
        )

    def take_folder(self) -> None:
        """Take over the folder; StateError when it cannot be used."""
        self._store.open()

    def open(self, url: str) -> None:
        """Resume the batches in the folder."""
        self._runner.open(url)

    def is_asking(self, batch_id: str) -> bool:
        """True for a batch whose requests are being sent; its id is the session of its calls."""
        return self._runner.is_asking(batch_id)

    def gauges(self) -> dict[str, float]:
        """Metrics about the batches."""
        return self._runner.gauges()

    async def aclose(self) -> None:
        """Stop all work in good order."""
        await self._runner.aclose()
        self._store.close()

    def handler(
        self, request: web.BaseRequest
    ) -> Callable[[], Awaitable[web.StreamResponse]] | None:
        """The handler of a request; None for one that is not about batches."""
        target = request.raw_path.partition("?")[0]
        placed = self._upstreams.by_path(target)
        found = _PATH.fullmatch(placed[1] if placed else target)
        if found is None or (found["what"] == "files" and "anthropic-version" in request.headers):
            return None
        vendor: Vendor = "anthropic" if found["what"] == "messages/batches" else "openai"

        async def answer() -> web.StreamResponse:
            try:
                return await self._answer(request, found)
            except RefusedError as refused:
                error = refused.error
            except (ConnectionError, TimeoutError):  # the client's
                raise
            except OSError as failed:
                error = self._unwritten(failed)
            return web.Response(
                body=error.body(vendor), status=error.status, content_type="application/json"
            )

        return answer

    def _unwritten(self, error: OSError) -> VendorError:
        message = f"the gateway cannot use {str(self._store.folder)!r}: {error.strerror or error}"
        LOG.error("%s", message)
        return VendorError(status=503, message=message, code="disk_error")

    async def _answer(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        call = self._client_call(request)
        key = (request.method, found["what"], found["id"] is not None, found["part"])
        handler = _HANDLERS.get(key)
        if handler is None:
            message = f"Invalid URL ({request.method} {request.path})"
            raise RefusedError(VendorError(status=404, message=message))
        answering = handler(call, found["id"]) if found["id"] else handler(call)
        if request.method != "POST":
            return await answering
        return await _read_in_time(request.content, answering, self._idle_seconds)

    def _provider_of(self, batch: BatchRecord) -> str:
        target = batch.prefix + batch.endpoint
        placed = self._upstreams.by_path(target)
        found = placed[0] if placed else self._upstreams.choose(target, batch.model or "")
        if found is None:  # each of its requests is told so
            return batch.vendor
        return found.provider if found.provider in provider_names() else found.type

    def _client_call(self, request: web.BaseRequest) -> ClientCall:
        headers = decoded(request.raw_headers)
        path = request.raw_path.partition("?")[0]
        if refused := self._guard.refusal(headers, request.headers.get("Host", "")):
            raise RefusedError(refused)
        placed = self._upstreams.by_path(path)
        upstream = placed[0] if placed else self._upstreams.choose(path, "")
        if upstream is None:
            message = f"no upstream of the gateway serves {path}"
            raise RefusedError(VendorError(status=404, message=message, code="unknown_upstream"))
        if refused := self._guard.refusal_of_key(request.method, headers, upstream):
            raise RefusedError(refused)
        own = self._guard.without_token(headers)
        owner = client_of(own)
        if owner:
            self._runner.remember(owner, secrets_of(headers))
        return ClientCall(
            request=request,
            upstream=upstream,
            owner=owner,
            url=f"{_scheme(request)}://{request.headers.get('Host', '')}{upstream.prefix}",
            found=by_name(headers),
            store=self._store,
            runner=self._runner,
        )


async def _read_in_time(
    content: StreamReader, answering: Awaitable[web.StreamResponse], seconds: float
) -> web.StreamResponse:
    """The answer to a request; RefusedError when its body stalls for this long."""
    task = asyncio.ensure_future(answering)
    try:
        while True:
            before = content.total_bytes
            done, _ = await asyncio.wait((task,), timeout=seconds)
            if done:
                return task.result()
            if content.total_bytes == before and not content.is_eof():
                stalled = StalledBodyError(f"none of it arrived for {seconds:g} seconds")
                raise RefusedError(stalled_error(stalled))
    finally:
        if task.cancel():
            await asyncio.wait((task,))


def _scheme(request: web.BaseRequest) -> str:
    """The scheme by which the client reached us, as a proxy in front may tell."""
    told = request.headers.get("X-Forwarded-Proto", "").lower()
    return told if told in ("http", "https") else request.scheme
