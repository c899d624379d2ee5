"""`/v1/messages/batches` as Anthropic has it."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from batchata.gateway.batches.records import Batch
from batchata.gateway.batches.visit import Visit
from batchata.gateway.sandbox.anthropic.batches import DAY, check_requests, stamp
from batchata.gateway.sandbox.downloads import Download
from batchata.gateway.sandbox.json_answers import json_answer, page_beside, page_limit
from batchata.gateway.sandbox.read_errors import read_anthropic
from batchata.gateway.vendor_errors import RefusedError, invalid, not_found
from batchata.gateway.wire_anthropic import BATCH_CREATE, BatchRequest
from batchata.sinks.results import sync

CREATE_BYTES: Final = 256_000_000
MOST_REQUESTS: Final = 100_000
ENDPOINT: Final = "/v1/messages"
Wire = dict[str, Any]


class _Head(msgspec.Struct):
    """What is read of an item's params before a server is asked."""

    model: str
    stream: bool | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)


async def create_batch(visit: Visit) -> web.StreamResponse:
    """Take a batch; its requests are asked from now on."""
    shelf, works = visit.shelf, visit.works
    body = await visit.body(CREATE_BYTES)
    once = await asyncio.to_thread(visit.once, body)
    batch_id = f"msgbatch_{secrets.token_hex(12)}"
    path = shelf.file_path(batch_id)
    try:
        model, total = await asyncio.to_thread(_take, body, path)
        if (made := visit.made_before("anthropic", once)) is not None:
            return json_answer(_wire(visit, made))
        now = shelf.now()
        batch = Batch(
            id=batch_id,
            vendor="anthropic",
            owner=visit.owner,
            prefix=visit.upstream.prefix,
            provider=visit.provider,
            endpoint=ENDPOINT,
            created_at=now,
            expires_at=now + DAY,
            phase="in_progress",
            in_progress_at=now,
            headers=visit.kept_headers,
            model=model,
            total=total,
            once=once,
        )
        shelf.take(batch, path)
    finally:
        path.unlink(missing_ok=True)
    works.carry(batch)
    return json_answer(_wire(visit, batch))


async def list_batches(visit: Visit) -> web.StreamResponse:
    """List batches, newest first."""
    limit = page_limit(visit.request, default=20, most=1_000)
    found = visit.shelf.batches_of(visit.owner, "anthropic")
    page, has_more = page_beside(visit.request, found, limit)
    return json_answer(
        {
            "data": [_wire(visit, each) for each in page],
            "has_more": has_more,
            "first_id": page[0].id if page else None,
            "last_id": page[-1].id if page else None,
        }
    )


async def retrieve_batch(visit: Visit, batch_id: str) -> web.StreamResponse:
    """Show how a batch stands."""
    return json_answer(_wire(visit, _find(visit, batch_id)))


async def results(visit: Visit, batch_id: str) -> web.StreamResponse:
    """Send the result lines of an ended batch."""
    batch = _find(visit, batch_id)
    if batch.output_file_id is None:
        raise not_found(f"Batch {batch_id} has no available results.")
    path = visit.shelf.find_file(batch.output_file_id, visit.owner).path
    return Download(path, "application/x-jsonl")


async def cancel_batch(visit: Visit, batch_id: str) -> web.StreamResponse:
    """Begin to cancel a batch; what it has answers for it keeps."""
    batch = _find(visit, batch_id)
    if batch.is_final:
        raise invalid(f"Batch {batch_id} cannot be canceled: it has already ended.")
    if batch.phase != "finalizing":
        visit.works.cancel(batch)
    return json_answer(_wire(visit, batch))


async def delete_batch(visit: Visit, batch_id: str) -> web.StreamResponse:
    """Remove an ended batch and its results."""
    batch = _find(visit, batch_id)
    if not batch.is_final:
        raise invalid(f"Batch {batch_id} cannot be deleted while it is in progress.")
    visit.shelf.remove(batch)
    return json_answer({"id": batch_id, "type": "message_batch_deleted"})


def _take(body: bytes, path: Path) -> tuple[str | None, int]:
    """Write the requests one a line, as those of the other vendor lie; their model and number."""
    requests = read_anthropic(BATCH_CREATE, body).requests
    check_requests(requests, MOST_REQUESTS)
    models = {_model(index, item) for index, item in enumerate(requests)}
    with path.open("wb") as file:
        for item in requests:
            # a newline in valid JSON is only ever space between tokens
            params = bytes(item.params).replace(b"\n", b" ")
            file.write(
                b'{"custom_id":%b,"method":"POST","url":"/v1/messages","body":%b}\n'
                % (orjson.dumps(item.custom_id), params)
            )
    sync(path.parent, [path])
    return models.pop() if len(models) == 1 else None, len(requests)


def _model(index: int, item: BatchRequest) -> str:
    try:
        head = read_anthropic(_HEAD, bytes(item.params))
    except RefusedError as refused:
        raise invalid(f"requests.{index}.params.{refused.error.message}") from None
    if head.stream:
        raise invalid(f"requests.{index}.params.stream: Streaming is not supported in batches")
    return head.model


def _find(visit: Visit, batch_id: str) -> Batch:
    batch = visit.shelf.batches.get(batch_id)
    if batch is None or (batch.vendor, batch.owner) != ("anthropic", visit.owner):
        raise not_found(f"message batch not found: {batch_id}")
    return batch


def _wire(visit: Visit, batch: Batch) -> Wire:
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
            f"{visit.url}/v1/messages/batches/{batch.id}/results" if has_ended else None
        ),
    }
