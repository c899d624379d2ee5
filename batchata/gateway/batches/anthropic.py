"""`/v1/messages/batches`, as at Anthropic."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from batchata.disk.atomic import sync_files
from batchata.gateway.batches.client_call import ClientCall
from batchata.gateway.batches.records import BatchRecord
from batchata.gateway.wire.anthropic import BATCH_CREATE, BatchRequest
from batchata.gateway.wire.downloads import Download
from batchata.gateway.wire.errors import RefusedError, invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, page_beside, page_limit
from batchata.gateway.wire.message_batches import check_requests, stamp
from batchata.gateway.wire.reading import read_anthropic
from batchata.gateway.wire.uploads import DAY

CREATE_BYTES: Final = 256_000_000
MOST_REQUESTS: Final = 100_000
ENDPOINT: Final = "/v1/messages"
Wire = dict[str, Any]


class _Head(msgspec.Struct):
    """The part of an item's params that is read before a server is asked."""

    model: str
    stream: bool | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)


async def create_batch(call: ClientCall) -> web.StreamResponse:
    """Accept a batch, and start sending its requests."""
    store, runner = call.store, call.runner
    body = await call.body(CREATE_BYTES)
    once = await asyncio.to_thread(call.once, body)
    batch_id = f"msgbatch_{secrets.token_hex(12)}"
    path = store.file_path(batch_id)
    try:
        model, total = await asyncio.to_thread(_take, body, path)
        if (made := call.made_before("anthropic", once)) is not None:
            return json_answer(_wire(call, made))
        now = store.now()
        batch = BatchRecord(
            id=batch_id,
            vendor="anthropic",
            owner=call.owner,
            prefix=call.upstream.prefix,
            endpoint=ENDPOINT,
            created_at=now,
            expires_at=now + DAY,
            phase="in_progress",
            in_progress_at=now,
            headers=call.kept_headers,
            model=model,
            total=total,
            once=once,
        )
        batch.provider = runner.provider_of(batch)
        store.take(batch, path)
    finally:
        path.unlink(missing_ok=True)
    runner.carry(batch)
    return json_answer(_wire(call, batch))


async def list_batches(call: ClientCall) -> web.StreamResponse:
    """List batches, newest first."""
    limit = page_limit(call.request, default=20, most=1_000)
    found = call.store.batches_of(call.owner, "anthropic")
    page, has_more = page_beside(call.request, found, limit)
    return json_answer(
        {
            "data": [_wire(call, each) for each in page],
            "has_more": has_more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


async def retrieve_batch(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Show the state of a batch."""
    return json_answer(_wire(call, _find(call, batch_id)))


async def results(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Send the result lines of an ended batch."""
    batch = _find(call, batch_id)
    if batch.output_file_id is None:
        raise not_found(f"Batch {batch_id} has no available results.")
    path = call.store.find_file(batch.output_file_id, call.owner).path
    return Download(path, "application/x-jsonl")


async def cancel_batch(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Begin to cancel a batch; it keeps the answers it has."""
    batch = _find(call, batch_id)
    if batch.is_final:
        raise invalid(f"Batch {batch_id} cannot be canceled: it has already ended.")
    if batch.phase != "finalizing":
        call.runner.cancel(batch)
    return json_answer(_wire(call, batch))


async def delete_batch(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Remove an ended batch and its results."""
    batch = _find(call, batch_id)
    if not batch.is_final:
        raise invalid(f"Batch {batch_id} cannot be deleted while it is in progress.")
    call.store.remove(batch)
    return json_answer({"id": batch_id, "type": "message_batch_deleted"})


def _take(body: bytes, path: Path) -> tuple[str | None, int]:
    """Write the requests one per line, as in OpenAI's files; returns their model and number."""
    requests = read_anthropic(BATCH_CREATE, body).requests
    check_requests(requests, MOST_REQUESTS)
    models = {_model(index, item) for index, item in enumerate(requests)}
    with path.open("wb") as file:
        for item in requests:
            # in valid JSON a newline can only be space between tokens
            params = bytes(item.params).replace(b"\n", b" ")
            file.write(
                b'{"custom_id":%b,"method":"POST","url":"/v1/messages","body":%b}\n'
                % (orjson.dumps(item.custom_id), params)
            )
    sync_files(path.parent, [path])
    return models.pop() if len(models) == 1 else None, len(requests)


def _model(index: int, item: BatchRequest) -> str:
    try:
        head = read_anthropic(_HEAD, bytes(item.params))
    except RefusedError as refused:
        raise invalid(f"requests.{index}.params.{refused.error.message}") from None
    if head.stream:
        raise invalid(f"requests.{index}.params.stream: Streaming is not supported in batches")
    return head.model


def _find(call: ClientCall, batch_id: str) -> BatchRecord:
    batch = call.store.batches.get(batch_id)
    if batch is None or (batch.vendor, batch.owner) != ("anthropic", call.owner):
        raise not_found(f"message batch not found: {batch_id}")
    return batch


def _wire(call: ClientCall, batch: BatchRecord) -> Wire:
    has_ended, counts = batch.is_final, batch.counts
    status = "canceling" if batch.cancelling_at is not None else "in_progress"
    shown = (
        {
            "succeeded": counts.succeeded,
            "errored": counts.errored,
            "canceled": counts.cancelled,
            "expired": counts.expired,
        }
        if has_ended
        else dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
    )
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if has_ended else status,
        "request_counts": {"processing": 0 if has_ended else batch.total, **shown},
        "created_at": stamp(batch.created_at),
        "expires_at": stamp(batch.expires_at),
        "ended_at": None if batch.ended_at is None else stamp(batch.ended_at),
        "cancel_initiated_at": (
            None if batch.cancelling_at is None else stamp(batch.cancelling_at)
        ),
        "archived_at": None,
        "results_url": (
            f"{call.url}/v1/messages/batches/{batch.id}/results" if has_ended else None
        ),
    }
