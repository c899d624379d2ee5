"""Admission: what a request is, where it goes, and whether it may come in."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
from aiohttp import web

from batchata.gateway.proxy.exchange import QUESTIONS, Exchange, vendor_path
from batchata.gateway.proxy.http.guard import Guard
from batchata.gateway.proxy.http.headers import by_name, decoded
from batchata.gateway.proxy.http.heads import Heads
from batchata.gateway.proxy.http.parsing import (
    Body,
    BodyTooLargeError,
    Limits,
    StalledBodyError,
    parse_body,
    take_body,
)
from batchata.gateway.proxy.http.spilled import Spilled
from batchata.gateway.proxy.http.upstreams import Upstream, Upstreams, has_dots
from batchata.gateway.proxy.telemetry.events import now_us
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.vendors import Vendor

#: how many request lines are kept in memory, and how long each may be
_MOST_LINES: Final = 1024
_MOST_LINE: Final = 512


class NotAdmittedError(Exception):
    """A request is not admitted; says why."""

    def __init__(self, error: VendorError, vendor: Vendor) -> None:
        super().__init__(error.message)
        self.error = error
        self.vendor: Vendor = vendor


class _Line(msgspec.Struct, frozen=True):
    """What a request line says, the same for all requests with it."""

    refusal: VendorError | None  #: why it may not come in at all
    upstream: Upstream | None  #: that its prefix names
    target: str  #: without that prefix
    path: str
    has_dots: bool
    endpoint: str | None
    deployment: str


class Admission:
    """Makes exchanges of requests."""

    def __init__(self, upstreams: Upstreams, guard: Guard, limits: Limits) -> None:
        self._upstreams = upstreams
        self._guard = guard
        self._heads = Heads(guard)
        self.limits = limits
        self._count = 0
        self._prefix = secrets.token_hex(6)
        self._known_line = lru_cache(_MOST_LINES)(self._line)

    def refused(self, request: web.BaseRequest) -> NotAdmittedError | None:
        """Why a request may not come in at all; None for one that may."""
        headers = decoded(request.raw_headers)
        error = self._guard.refusal(headers, by_name(headers).get("host", ""))
        return None if error is None else NotAdmittedError(error, self._vendor(request))

    async def take(self, request: web.BaseRequest) -> tuple[Exchange, Body]:
        """A request's exchange and its body, which the caller closes; raises NotAdmittedError."""
        head = self._heads.of(request.raw_headers)
        method, target = request.method, request.raw_path
        line = (self._known_line if len(target) <= _MOST_LINE else self._line)(method, target)
        error = line.refusal or head.refusal
        if error is not None:
            raise NotAdmittedError(error, self._vendor(request))
        try:
            body = await take_body(request, self.limits, is_question=line.endpoint is not None)
        except BodyTooLargeError as found_large:
            raise NotAdmittedError(_too_large(found_large), self._vendor(request)) from found_large
        except StalledBodyError as stalled:
            raise NotAdmittedError(stalled_error(stalled), self._vendor(request)) from stalled
        try:
            json, model = (
                parse_body(body.text) if body.spilled is None else await _fields_of(body.spilled)
            )
            path, model = line.path, line.deployment or model
            upstream = line.upstream or self._upstreams.choose(path, model)
            if upstream is None:
                raise NotAdmittedError(self._unserved(path, model), self._vendor(request))
            if line.has_dots and upstream.is_left_by(path):
                raise NotAdmittedError(_outside(upstream), Exchange.vendor_of(path, upstream))
            length = request.headers.get("Content-Length", "")
            written, error = head.onward(upstream, method, length)
            if error is not None:
                raise NotAdmittedError(error, Exchange.vendor_of(path, upstream))
        except BaseException:
            body.close()
            raise
        self._count += 1
        exchange = Exchange(
            id=f"{self._prefix}{self._count:x}",
            number=self._count,
            began_us=now_us(),
            began_seconds=time.monotonic(),
            method=method,
            target=line.target,
            path=path,
            headers=written.headers,
            written=written,
            body=body.text,
            json=json,
            spilled=body.spilled,
            upstream=upstream,
            endpoint=line.endpoint,
            model=model,
            session_id=head.session_id,
            agent_id=head.agent_id,
            tags=head.tags,
            attempt=head.attempt,
            client=head.client,
            is_unread=body.spilled is not None or (json is None and not body.is_empty),
        )
        return exchange, body

    def _line(self, method: str, target: str) -> _Line:
        refusal = _unfit(method, target)
        upstream, target = self._upstreams.by_path(target) or (None, target)
        path = target.partition("?")[0]
        endpoint, deployment = _question(path) if method == "POST" else (None, "")
        return _Line(refusal, upstream, target, path, has_dots(path), endpoint, deployment)

    def _vendor(self, request: web.BaseRequest) -> Vendor:
        placed = self._upstreams.by_path(request.raw_path)
        found = placed[0] if placed else self._upstreams.choose(request.path, "")
        return found.type if found else "openai"

    def _unserved(self, path: str, model: str) -> VendorError:
        what = f"the model {model!r:.100} at {path}" if model else path
        places = ", ".join(each.prefix or "/".join(each.models) for each in self._upstreams.all)
        return VendorError(
            status=404,
            message=f"no upstream of the gateway serves {what}; it has those for {places}",
            code="unknown_upstream",
        )


def _question(path: str) -> tuple[str | None, str]:
    """The endpoint of a path, or None if it asks no question; and the deployment that it names."""
    found = QUESTIONS.get(path)
    if found is not None or not path.startswith("/openai/"):
        return found, ""
    path, deployment = vendor_path(path)
    return QUESTIONS.get(path), deployment


async def _fields_of(spilled: Spilled) -> tuple[Mapping[str, object] | None, str]:
    fields = await spilled.fields()
    model = (fields or {}).get("model")
    return fields, model if isinstance(model, str) else ""


def _too_large(error: BodyTooLargeError) -> VendorError:
    return VendorError(
        status=413,
        message=f"the gateway cannot hold this body until it is sent: {error}; see spill_bytes, "
        "and TMPDIR for where it is kept",
        code="request_too_large",
    )


def stalled_error(error: StalledBodyError) -> VendorError:
    """The answer to a client that stopped in the middle of its request."""
    return VendorError(
        status=408,
        message=f"the gateway stopped waiting for this request's body: {error}; see idle_seconds",
        code="request_timeout",
    )


def _outside(upstream: Upstream) -> VendorError:
    return VendorError(
        status=400,
        message=f"this path leaves the gateway's upstream {upstream.name} with its '..': only what "
        f"is below {upstream.address} is asked",
        code="outside_upstream",
    )


def _unfit(method: str, target: str) -> VendorError | None:
    is_path = target.startswith("/") or (target == "*" and method == "OPTIONS")
    if not is_path or method == "CONNECT":
        return VendorError(
            status=400,
            message="the gateway is not a forward proxy: give it a path and set its address as the "
            "base URL of your client",
        )
    if "#" in target:
        return VendorError(status=400, message="a request's target has no part after '#'")
    return None
