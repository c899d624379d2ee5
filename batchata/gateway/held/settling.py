"""The outcome of a held call, as reported to its client, the limit and the events."""

from __future__ import annotations

import re
import time
from typing import Final

import orjson

from batchata.core.result import JobResult, Reason
from batchata.gateway.held.folder import Asked, Group
from batchata.gateway.held.waiting import JSON, SSE, events_of
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.gateway.proxy.reading.answer_facts import tell
from batchata.gateway.proxy.telemetry.events import now_us
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.vendors import Vendor

#: the status with which the refusal of a live call begins
_SAID: Final = re.compile(r"(4\d\d|5\d\d): (.*)", re.DOTALL)
_STATUSES: Final = {
    Reason.INVALID_REQUEST: 400,
    Reason.MODEL_NOT_FOUND: 404,
    Reason.BAD_INPUT: 400,
    Reason.BATCH_FAILED: 400,
    Reason.RATE_LIMITED: 429,
    Reason.OVERLOADED: 503,
    Reason.SERVER_ERROR: 500,
}
#: fields of a request that batches do not support
STREAMS: Final = ("stream", "stream_options")
_BROKE: Final = 502  #: its outcome is unknown, so it counts as paid


def refused(vendor: Vendor, reason: Reason | None, message: str) -> tuple[int, bytes]:
    """Status and body for a call without an answer, in its vendor's format."""
    found = _SAID.fullmatch(message)
    code = str(reason or "failed")
    if found is not None:
        status, message = int(found[1]), found[2]
    elif reason is Reason.ACCOUNT:
        status = 402 if vendor == "anthropic" else 429
        code = "billing_error" if vendor == "anthropic" else "insufficient_quota"
    else:
        status = _STATUSES.get(reason, _BROKE) if reason is not None else _BROKE
    error = VendorError(status=status, message=message, code=code)
    return status, error.body(vendor)


def asked_of(exchange: Exchange) -> Asked:
    """What is kept of an exchange until its answer has come."""
    body = exchange.json or {}
    return Asked(
        exchange_id=exchange.id,
        session_id=exchange.session_id,
        agent_id=exchange.agent_id,
        tags=dict(exchange.tags),
        model=exchange.model,
        client=exchange.client,
        set_aside=exchange.set_aside,
        stream={name: body[name] for name in STREAMS if name in body},
    )


def exchange_of(asked: Asked, group: Group, upstream: Upstream, body: bytes) -> Exchange:
    """An exchange begun by an earlier process, for this one to settle."""
    json = {**orjson.loads(body), **asked.stream}
    return Exchange(
        id=asked.exchange_id,
        number=0,
        began_us=now_us(),
        began_seconds=time.monotonic(),
        method="POST",
        target=group.endpoint,
        path=group.endpoint,
        headers=(),
        body=orjson.dumps(json) if asked.stream else body,
        json=json,
        upstream=upstream,
        endpoint=group.endpoint,
        model=asked.model,
        session_id=asked.session_id,
        agent_id=asked.agent_id,
        tags=asked.tags,
        client=asked.client,
        is_sent=True,
        is_ended=True,
        set_aside=asked.set_aside,
    )


def answered_of(exchange: Exchange, status: int, body: bytes, result: JobResult | None) -> Answered:
    """The answer with what it says about itself, priced by the route it took."""
    answered = Answered(status=status, headers=JSON, body=body)
    tell(answered, exchange.endpoint, status, body)
    if exchange.is_stream and status == 200:
        # as its client gets it: a record or a cached answer serves streams too
        events = events_of(exchange, body)
        answered.is_stream, answered.headers, answered.body = True, SSE, b"".join(events)
        answered.pieces = [(0.0, event) for event in events]
    if result is not None:
        answered.request_id = result.request_id
        if answered.usage is not None:
            answered.cost_usd = result.cost_usd
    return answered
