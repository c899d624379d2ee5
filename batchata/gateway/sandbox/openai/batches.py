"""OpenAI's batches."""

from aiohttp import web

from batchata.gateway.sandbox.lifecycle import FINAL, Phase, items_done
from batchata.gateway.sandbox.openai.files import find
from batchata.gateway.sandbox.openai.input import check_input
from batchata.gateway.sandbox.openai.output import settle
from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.batches import check_create, usage_object
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, openai_list, page_after, page_limit
from batchata.gateway.wire.openai import BATCH_CREATE
from batchata.gateway.wire.openai import BatchCreate as Wanted
from batchata.gateway.wire.reading import read_openai
from batchata.gateway.wire.uploads import DAY

Wire = dict[str, object]


async def create(request: web.Request) -> web.StreamResponse:
    """Accept a batch; its input file is checked later."""
    world = world_of(request)
    wanted = read_openai(BATCH_CREATE, await request.read())
    _check(world, wanted)
    batch = _record(world, wanted)
    world.add_batch(batch)
    if world.scenario.enqueued_token_limit is not None:
        await check_input(world, batch)
    return json_answer(_wire(world, batch, "validating"))


async def list_batches(request: web.Request) -> web.StreamResponse:
    """List batches, newest first."""
    world = world_of(request)
    limit = page_limit(request, default=20, most=100)
    found = world.listed("openai")
    after = request.query.get("after")
    if after is not None and after not in world.batches:
        raise not_found(f"No batch found with id '{after}'.")
    page, has_more = page_after(request, found, limit)
    return openai_list([await _current(world, batch) for batch in page], has_more=has_more)


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show one batch, or the unknown status the scenario wants."""
    world = world_of(request)
    batch = _find(world, request.match_info["id"])
    batch.polls += 1
    body = await _current(world, batch)
    fault = batch.fault("unknown_status")
    if fault is not None and batch.polls <= fault.polls:
        body = _wire(world, batch, "in_progress") | {"status": fault.status}
    return json_answer(body)


async def cancel(request: web.Request) -> web.StreamResponse:
    """Begin to cancel a batch."""
    world = world_of(request)
    batch = _find(world, request.match_info["id"])
    await advance(world, batch)
    phase = world.phase(batch)
    if phase in FINAL:
        message = f"Cannot cancel a batch with status '{phase}'."
        raise RefusedError(VendorError(status=409, message=message))
    if batch.cancel_at is None:
        batch.cancel_at = world.now()
    return json_answer(_wire(world, batch, "cancelling"))


async def advance(world: World, batch: BatchRecord) -> None:
    """Do the work that is due: check the input, make the results."""
    async with batch.lock:
        if world.now() >= world.life(batch).validated_at:
            await check_input(world, batch)
        if world.phase(batch) in ("completed", "expired", "cancelled"):
            await settle(world, batch)


def _check(world: World, wanted: Wanted) -> None:
    stored = world.files.get(wanted.input_file_id)
    check_create(wanted, stored and find(world, stored.id))
    if wanted.completion_window != "24h":
        raise invalid(
            f"Invalid value: '{wanted.completion_window}'. Supported values are: '24h'.",
            param="completion_window",
            code="invalid_value",
        )


def _record(world: World, wanted: Wanted) -> BatchRecord:
    stored = world.files[wanted.input_file_id]
    expiry = wanted.output_expires_after
    return BatchRecord(
        id=world.make_id("batch_sandbox_"),
        vendor="openai",
        n=stored.lines,
        path=stored.path,
        created_at=world.now(),
        latency_seconds=world.scenario.latency_seconds,
        endpoint=wanted.endpoint,
        faults=world.faults.batch("openai"),
        input_file_id=stored.id,
        metadata=wanted.metadata,
        output_seconds=None if expiry is None else float(expiry.seconds),
        hidden_calls=world.scenario.listing_delay_calls,
    )


def _find(world: World, batch_id: str) -> BatchRecord:
    batch = world.batches.get(batch_id)
    if batch is None or batch.vendor != "openai":
        raise not_found(f"No batch found with id '{batch_id}'.")
    return batch


async def _current(world: World, batch: BatchRecord) -> Wire:
    await advance(world, batch)
    return _wire(world, batch, world.phase(batch))


def _wire(world: World, batch: BatchRecord, phase: Phase) -> Wire:
    life = world.life(batch)
    validated = phase not in ("validating", "failed")
    ended = int(life.ends_at) if phase in FINAL else None
    data = [
        {"code": e.code, "line": e.line, "message": e.message, "param": e.param}
        for e in batch.errors
    ]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model if validated else None,
        "errors": {"object": "list", "data": data} if phase == "failed" else None,
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "status": phase,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at),
        "in_progress_at": _moment(life.validated_at) if validated else None,
        "expires_at": int(batch.created_at) + DAY,
        "finalizing_at": (
            int(life.finalizing_at) if phase in ("finalizing", "completed") else None
        ),
        "completed_at": ended if phase == "completed" else None,
        "failed_at": ended if phase == "failed" else None,
        "expired_at": ended if phase == "expired" else None,
        "cancelling_at": None if batch.cancel_at is None else int(batch.cancel_at),
        "cancelled_at": ended if phase == "cancelled" else None,
        "request_counts": _counts(world, batch, phase),
        "usage": usage_object(batch.usage) if batch.is_settled else None,
        "metadata": batch.metadata,
    }


def _moment(seconds: float) -> int | None:
    return None if seconds == float("inf") else int(seconds)


def _counts(world: World, batch: BatchRecord, phase: Phase) -> Wire:
    if phase in ("validating", "failed"):
        return {"total": 0, "completed": 0, "failed": 0}
    if batch.is_settled:
        done, failed = batch.counts.succeeded, batch.counts.errored + batch.counts.expired
    else:
        done, failed = items_done(batch, world.life(batch), world.now()), 0
    return {"total": batch.n, "completed": done, "failed": failed}
