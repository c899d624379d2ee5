"""What every request passes through: log, key check, connection faults, vendor error bodies."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Final

from aiohttp import web

from batchata.gateway.sandbox.anthropic.checks import check_version
from batchata.gateway.sandbox.downloads import send_cut
from batchata.gateway.sandbox.scenario import HttpFault
from batchata.gateway.sandbox.streams import EventStream
from batchata.gateway.sandbox.world import LoggedRequest, World, world_of
from batchata.gateway.wire.downloads import Download
from batchata.gateway.wire.errors import RefusedError, VendorError
from batchata.gateway.wire.vendors import Vendor

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

LOG: Final = logging.getLogger("batchata.gateway")
CLOSING: Final = web.AppKey("closing", asyncio.Event)
SAYS_SANDBOX: Final = {"x-batchata-sandbox": "scripted answers, no model"}
REQUEST_ID: Final = "req_sandbox_"
CONTROL: Final = "/_sandbox"


def vendor_of_request(request: web.Request) -> Vendor:
    """Say which vendor a request is meant for."""
    is_anthropic = request.path.startswith("/v1/messages") or "anthropic-version" in request.headers
    return "anthropic" if is_anthropic else "openai"


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Say on every answer that no model is behind it, and give it an id."""
    response.headers.update(SAYS_SANDBOX)
    if not request.path.startswith(CONTROL):
        new_id = world_of(request).make_id(REQUEST_ID)
        response.headers.setdefault(_id_header(request), new_id)


@web.middleware
async def log_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write the request log."""
    world = world_of(request)
    if not request.path.startswith(CONTROL):
        route = route_name(request)
        world.requests.append(
            LoggedRequest(at=world.now(), method=request.method, path=request.path_qs, route=route)
        )
    return await handler(request)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write a refusal in the vendor's shape."""
    vendor = vendor_of_request(request)
    try:
        return await handler(request)
    except RefusedError as refused:
        return error_answer(request, refused.error)
    except ConnectionResetError:  # the client left mid-request: nobody reads this
        return web.Response(status=400)
    except web.HTTPRequestEntityTooLarge:
        message = "Request exceeds the maximum size"
        return error_answer(request, VendorError(status=413, message=message))
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as missing:
        message = f"Invalid URL ({request.method} {request.path})"
        if vendor == "anthropic":
            message = "Not Found" if missing.status == 404 else "Method Not Allowed"
        return error_answer(request, VendorError(status=missing.status, message=message))


@web.middleware
async def check_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request without a key, or without Anthropic's version header."""
    if request.path.startswith(CONTROL):
        return await handler(request)
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer").strip()
    vendor = vendor_of_request(request)
    if not bearer and not request.headers.get("x-api-key"):
        raise RefusedError(_no_key(vendor))
    if vendor == "anthropic":
        check_version(request.headers.get("anthropic-version", ""))
    return await handler(request)


@web.middleware
async def strike_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the scenario's connection faults strike."""
    world = world_of(request)
    if not world.scenario.http or request.path.startswith(CONTROL):
        return await handler(request)
    fault = world.faults.http(route_name(request), await _body(world, request))
    if fault is None:
        return await handler(request)
    LOG.info("fault %s strikes %s %s", fault.action, request.method, request.path)
    return await _strike(fault, request, handler)


def route_name(request: web.Request) -> str:
    """Give the name of the route, such as `openai.batches.create`."""
    name = request.match_info.route.name or "unknown"
    if name.startswith("any."):
        return name.replace("any", vendor_of_request(request), 1)
    return name


def error_answer(
    request: web.Request, error: VendorError, headers: dict[str, str] | None = None
) -> web.Response:
    """Answer with an error in the vendor's shape."""
    request_id = world_of(request).make_id(REQUEST_ID)
    return web.Response(
        body=error.body(vendor_of_request(request), request_id),
        status=error.status,
        content_type="application/json",
        headers={_id_header(request): request_id} | (headers or {}),
    )


def _id_header(request: web.Request) -> str:
    return "request-id" if vendor_of_request(request) == "anthropic" else "x-request-id"


async def _strike(fault: HttpFault, request: web.Request, handler: Handler) -> web.StreamResponse:
    match fault.action:
        case "truncate":
            answer = await handler(request)
            if isinstance(answer, Download):
                return await send_cut(request, answer, fault.keep)
            return answer
        case "stream_error":
            answer = await handler(request)
            return answer.with_error() if isinstance(answer, EventStream) else answer
        case "slow":
            await _wait(request, fault.seconds)
            return await handler(request)
        case "status_after" | "cut_after" | "hang_after":
            await handler(request)
    if fault.action in ("hang", "hang_after"):
        await _wait(request, fault.seconds)
    if fault.action in ("status", "status_after"):
        return _error(fault, request)
    return _cut(request)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _error(fault: HttpFault, request: web.Request) -> web.Response:
    headers: dict[str, str] = {}
    seconds = fault.retry_after_seconds
    if seconds is not None:
        match fault.retry_after_style:
            case "seconds":
                headers["Retry-After"] = f"{seconds:g}"
            case "milliseconds":
                headers["Retry-After-Ms"] = str(int(seconds * 1000))
            case "date":
                moment = world_of(request).now() + seconds
                headers["Retry-After"] = formatdate(moment, usegmt=True)
    kind = fault.code if fault.code == "insufficient_quota" else None
    error = VendorError(status=fault.status, message=fault.message, code=fault.code, type=kind)
    return error_answer(request, error, headers)


async def _wait(request: web.Request, seconds: float) -> None:
    closing = request.app[CLOSING]
    try:
        await asyncio.wait_for(closing.wait(), seconds or None)
    except TimeoutError:
        return


async def _body(world: World, request: web.Request) -> bytes:
    if world.faults.needs_bodies() and request.content_type == "application/json":
        return await request.read()
    return b""


def _no_key(vendor: Vendor) -> VendorError:
    if vendor == "anthropic":
        return VendorError(status=401, message="x-api-key header is required")
    return VendorError(
        status=401,
        message=(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        ),
        code="invalid_api_key",
    )
