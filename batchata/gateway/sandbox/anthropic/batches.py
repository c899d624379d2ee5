"""The message batches of Anthropic."""

from pathlib import Path

import orjson
from aiohttp import web

from batchata.gateway.sandbox.anthropic.output import settle
from batchata.gateway.sandbox.lifecycle import FINAL, Phase
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.anthropic import BATCH_CREATE, BatchRequest
from batchata.gateway.wire.downloads import Download
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, page_beside, page_limit
from batchata.gateway.wire.message_batches import check_requests, stamp
from batchata.gateway.wire.reading import read_anthropic

Wire = dict[str, object]
DAY = 86_400


async def create(request: web.Request) -> web.StreamResponse:
    """Accept a batch; the params of its items are checked later."""
    world = world_of(request)
    body = await request.read()
    if len(body) > world.scenario.anthropic_max_bytes:
        limit = world.scenario.anthropic_max_bytes
        message = f"Request exceeds the maximum size of {limit} bytes"
        raise RefusedError(VendorError(status=413, message=message))
    wanted = read_anthropic(BATCH_CREATE, body)
    check_requests(wanted.requests, world.scenario.anthropic_max_requests)
    path = world.new_path(".items")
    _save(path, wanted.requests)
    batch = BatchRecord(
        id=world.make_id("msgbatch_sandbox_"),
        vendor="anthropic",
        n=len(wanted.requests),
        path=path,
        created_at=world.now(),
        latency_seconds=world.scenario.latency_seconds,
        endpoint="/v1/messages",
        faults=world.faults.batch("anthropic"),
        version=request.headers.get("anthropic-version", ""),
        hidden_calls=world.scenario.listing_delay_calls,
    )
    world.add_batch(batch)
    return json_answer(_wire(world, batch, "in_progress"))


async def list_batches(request: web.Request) -> web.StreamResponse:
    """List batches, newest first."""
    world = world_of(request)
    limit = page_limit(request, default=20, most=1_000)
    page, has_more = page_beside(request, world.listed("anthropic"), limit)
    return json_answer(
        {
            "data": [await _current(world, batch) for batch in page],
            "has_more": has_more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show one batch, or the unknown status the scenario wants."""
    world = world_of(request)
    batch = _find(world, request)
    batch.polls += 1
    body = await _current(world, batch)
    fault = batch.fault("unknown_status")
    if fault is not None and batch.polls <= fault.polls:
        body = _wire(world, batch, "in_progress") | {"processing_status": fault.status}
    return json_answer(body)


async def results(request: web.Request) -> web.StreamResponse:
    """Send the result lines of an ended batch."""
    world = world_of(request)
    batch = _find(world, request)
    await advance(world, batch)
    if batch.results_path is None:
        raise not_found(f"Batch {batch.id} has no available results.")
    return Download(batch.results_path, "application/x-jsonl")


async def cancel(request: web.Request) -> web.StreamResponse:
    """Begin to cancel a batch."""
    world = world_of(request)
    batch = _find(world, request)
    await advance(world, batch)
    if world.is_final(batch):
        raise invalid(f"Batch {batch.id} cannot be canceled: it has already ended.")
    if batch.cancel_at is None:
        batch.cancel_at = world.now()
    return json_answer(_wire(world, batch, "cancelling"))


async def delete(request: web.Request) -> web.StreamResponse:
    """Remove an ended batch."""
    world = world_of(request)
    batch = _find(world, request)
    await advance(world, batch)
    if not world.is_final(batch):
        raise invalid(f"Batch {batch.id} cannot be deleted while it is in progress.")
    del world.batches[batch.id]
    return json_answer({"id": batch.id, "type": "message_batch_deleted"})


async def advance(world: World, batch: BatchRecord) -> None:
    """Make the results when they are due."""
    async with batch.lock:
        if world.is_final(batch):
            await settle(world, batch)


def _save(path: Path, requests: list[BatchRequest]) -> None:
    with path.open("wb") as file:
        for item in requests:
            # in valid JSON a newline can only be space between tokens
            params = bytes(item.params).replace(b"\n", b" ")
            file.write(b'{"custom_id":%b,"params":%b}\n' % (orjson.dumps(item.custom_id), params))


def _find(world: World, request: web.Request) -> BatchRecord:
    batch_id = request.match_info["id"]
    batch = world.batches.get(batch_id)
    if batch is None or batch.vendor != "anthropic":
        raise not_found(f"message batch not found: {batch_id}")
    return batch


async def _current(world: World, batch: BatchRecord) -> Wire:
    await advance(world, batch)
    return _wire(world, batch, world.phase(batch))


def _wire(world: World, batch: BatchRecord, phase: Phase) -> Wire:
    has_ended = phase in FINAL
    status = "ended" if has_ended else "in_progress"
    base = world.scenario.results_base_url or world.url
    counts = batch.counts
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "canceling" if phase == "cancelling" else status,
        "request_counts": {
            "processing": 0 if has_ended else batch.n,
            "succeeded": counts.succeeded,
            "errored": counts.errored,
            "canceled": counts.cancelled,
            "expired": counts.expired,
        },
        "created_at": stamp(batch.created_at),
        "expires_at": stamp(batch.created_at + DAY),
        "ended_at": stamp(world.life(batch).ends_at) if has_ended else None,
        "cancel_initiated_at": None if batch.cancel_at is None else stamp(batch.cancel_at),
        "archived_at": None,
        "results_url": f"{base}/v1/messages/batches/{batch.id}/results" if has_ended else None,
    }
