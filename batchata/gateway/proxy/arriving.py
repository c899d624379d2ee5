"""The door: what a request is, where it goes, and whether it may come in."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from aiohttp import web

from batchata.gateway.proxy.exchange import MODEL_ENDPOINTS, Exchange
from batchata.gateway.proxy.guard import Guard
from batchata.gateway.proxy.headers import Headers, by_name, decoded, to_upstream
from batchata.gateway.proxy.parsing import Body, BodyTooLargeError, Limits, parse_body, take_body
from batchata.gateway.proxy.telling import (
    AGENT_HEADERS,
    SESSION_HEADERS,
    TAG_HEADERS,
    named,
    now_us,
    tags_of,
)
from batchata.gateway.proxy.upstreams import Upstream, Upstreams, client_of
from batchata.gateway.upstream import Vendor
from batchata.gateway.vendor_errors import VendorError


class RefusedError(Exception):
    """A request that does not come in, and why."""

    def __init__(self, error: VendorError, vendor: Vendor) -> None:
        super().__init__(error.message)
        self.error = error
        self.vendor: Vendor = vendor


class Door:
    """Makes exchanges of requests."""

    def __init__(self, upstreams: Upstreams, guard: Guard, limits: Limits) -> None:
        self._upstreams = upstreams
        self._guard = guard
        self.limits = limits
        self._count = 0
        self._prefix = secrets.token_hex(6)

    def refused(self, request: web.BaseRequest) -> RefusedError | None:
        """Why a request may not come in at all; None for one that may."""
        headers = decoded(request.raw_headers)
        error = self._guard.refusal(headers, by_name(headers).get("host", ""))
        return None if error is None else RefusedError(error, self._vendor(request))

    async def take(self, request: web.BaseRequest) -> tuple[Exchange, Body]:
        """The exchange of a request, and its body, which is to be closed; raises RefusedError."""
        headers = decoded(request.raw_headers)
        found = by_name(headers)
        error = _unfit(request, found) or self._guard.refusal(headers, found.get("host", ""))
        if error is not None:
            raise RefusedError(error, self._vendor(request))
        target = request.raw_path
        placed = self._upstreams.by_path(target)
        upstream: Upstream | None = None
        if placed is not None:
            upstream, target = placed
        path = target.partition("?")[0]
        is_question = request.method == "POST" and path in MODEL_ENDPOINTS
        try:
            body = await take_body(request, self.limits, is_question=is_question)
        except BodyTooLargeError as found_large:
            raise RefusedError(_too_large(found_large), self._vendor(request)) from found_large
        try:
            json, model = await _read(body)
            upstream = upstream or self._upstreams.choose(path, model)
            if upstream is None:
                raise RefusedError(_unserved(request), self._vendor(request))
            error = self._guard.refusal_of_key(request.method, headers, upstream)
            if error is not None:
                raise RefusedError(error, Exchange.vendor_of(path, upstream))
        except BaseException:
            body.close()
            raise
        self._count += 1
        exchange = Exchange(
            id=f"{self._prefix}{self._count:x}",
            number=self._count,
            began_us=now_us(),
            method=request.method,
            target=target,
            path=path,
            headers=self._forwarded(headers, upstream),
            body=body.text,
            json=json,
            spilled=body.spilled,
            upstream=upstream,
            endpoint=path if is_question else None,
            model=model,
            session_id=named(found, SESSION_HEADERS),
            agent_id=named(found, AGENT_HEADERS),
            tags=tags_of(named(found, TAG_HEADERS)),
            attempt=_attempt(found),
            client=client_of(found),
            is_unread=body.spilled is not None or (json is None and not body.is_empty),
        )
        return exchange, body

    def _forwarded(self, headers: Headers, upstream: Upstream) -> Headers:
        return upstream.with_key(self._guard.without_token(to_upstream(headers)))

    def _vendor(self, request: web.BaseRequest) -> Vendor:
        placed = self._upstreams.by_path(request.raw_path)
        found = placed[0] if placed else self._upstreams.choose(request.path, "")
        return found.type if found else "openai"


async def _read(body: Body) -> tuple[Mapping[str, object] | None, str]:
    if body.spilled is None:
        return parse_body(body.text)
    fields = await body.spilled.fields()
    model = (fields or {}).get("model")
    return fields, model if isinstance(model, str) else ""


def _too_large(error: BodyTooLargeError) -> VendorError:
    return VendorError(
        status=413,
        message=f"the gateway cannot keep this body until it is sent: {error}; see spill_bytes, "
        "and TMPDIR for where it is kept",
        code="request_too_large",
    )


def _unserved(request: web.BaseRequest) -> VendorError:
    return VendorError(
        status=404,
        message=f"no upstream of the gateway serves {request.raw_path}",
        code="unknown_upstream",
    )


def _unfit(request: web.BaseRequest, found: Mapping[str, str]) -> VendorError | None:
    if not request.raw_path.startswith("/") or request.method == "CONNECT":
        return VendorError(
            status=400,
            message="the gateway is no forward proxy: give it a path, and set its address as the "
            "base URL of your client",
        )
    if "#" in request.raw_path:
        return VendorError(status=400, message="a request's target has no part after '#'")
    if found.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        return VendorError(
            status=501,
            message="the gateway takes no transfer encoding but chunked; encode the content",
        )
    if found.get("upgrade", "").strip().lower() == "websocket":
        return VendorError(
            status=501,
            message="the gateway carries no WebSockets: connect to the vendor itself for them",
            code="websocket_not_supported",
        )
    return None


def _attempt(found: Mapping[str, str]) -> int:
    count = found.get("x-stainless-retry-count", "")
    return 1 + int(count) if count.isdigit() and len(count) < 4 else 1
