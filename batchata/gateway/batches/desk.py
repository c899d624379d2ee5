"""The door of the batch APIs: which requests are theirs, and who may come in."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from batchata.gateway.batches import anthropic, openai
from batchata.gateway.batches.shelf import Shelf
from batchata.gateway.batches.visit import Visit, secrets_of
from batchata.gateway.batches.works import Works, wall_clock
from batchata.gateway.proxy.config.model import BatchesSection, GatewayConfig
from batchata.gateway.proxy.http.guard import TOKEN_HEADER, Guard
from batchata.gateway.proxy.http.headers import by_name, decoded
from batchata.gateway.proxy.http.upstreams import Upstreams, client_of, has_key
from batchata.gateway.upstream import Vendor
from batchata.gateway.vendor_errors import RefusedError, VendorError

_PATH: Final = re.compile(
    r"/v1/(?P<what>files|batches|messages/batches)"
    r"(?:/(?P<id>[\w-]+))?(?:/(?P<part>content|cancel|results))?/?"
)
Handler = Callable[..., Awaitable[web.StreamResponse]]
#: (method, what, is about one, part of it) → what answers
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


class Desk:
    """The batch APIs of a gateway."""

    def __init__(
        self, section: BatchesSection, config: GatewayConfig, upstreams: Upstreams, guard: Guard
    ) -> None:
        token = config.server.client_token
        self._upstreams = upstreams
        self._guard = guard
        self._shelf = Shelf(section.directory, wall_clock)
        self._works = Works(
            self._shelf,
            section,
            headers={TOKEN_HEADER: token} if token else {},
            server=config.server,
            prices=config.prices,
        )

    def take_folder(self) -> None:
        """Take the folder; StateError when it cannot be used."""
        self._shelf.open()

    def open(self, url: str) -> None:
        """Go on with what is in the folder."""
        self._works.open(url)

    def gauges(self) -> dict[str, float]:
        """The batches in numbers."""
        return self._works.gauges()

    async def aclose(self) -> None:
        """Stop all work in good order."""
        await self._works.aclose()
        self._shelf.close()

    def handler(
        self, request: web.BaseRequest
    ) -> Callable[[], Awaitable[web.StreamResponse]] | None:
        """What answers a request; None for one that is not about batches."""
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
                return web.Response(
                    body=error.body(vendor), status=error.status, content_type="application/json"
                )

        return answer

    async def _answer(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        visit = self._visit(request)
        key = (request.method, found["what"], found["id"] is not None, found["part"])
        handler = _HANDLERS.get(key)
        if handler is None:
            message = f"Invalid URL ({request.method} {request.path})"
            raise RefusedError(VendorError(status=404, message=message))
        return await (handler(visit, found["id"]) if found["id"] else handler(visit))

    def _visit(self, request: web.BaseRequest) -> Visit:
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
        owner = client_of(by_name(own)) if has_key(own) else ""
        if owner:
            self._works.lend(owner, secrets_of(headers))
        return Visit(
            request=request,
            upstream=upstream,
            owner=owner,
            url=f"{_scheme(request)}://{request.headers.get('Host', '')}{upstream.prefix}",
            found=by_name(headers),
            shelf=self._shelf,
            works=self._works,
        )


def _scheme(request: web.BaseRequest) -> str:
    """How the client has reached us, which what stands before us may tell."""
    told = request.headers.get("X-Forwarded-Proto", "").lower()
    return told if told in ("http", "https") else request.scheme
