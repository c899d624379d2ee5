"""`/v1/files` and `/v1/batches`, as at OpenAI."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any, Final

from aiohttp import web

from batchata.disk.atomic import sync_files
from batchata.gateway.batches.client_call import ClientCall
from batchata.gateway.batches.records import BatchRecord, KeptFile
from batchata.gateway.wire.batches import ENDPOINTS as VENDOR_ENDPOINTS
from batchata.gateway.wire.batches import check_create, usage_object
from batchata.gateway.wire.downloads import Download
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, openai_list, page_after, page_limit
from batchata.gateway.wire.openai import BATCH_CREATE
from batchata.gateway.wire.reading import read_openai
from batchata.gateway.wire.uploads import DAY, check_form, expiry, is_form, read_form

FILE_BYTES: Final = 200_000_000
CREATE_BYTES: Final = 1 << 20
#: endpoints that the user's own servers accept in a batch, besides the vendor's
ENDPOINTS: Final = (
    *VENDOR_ENDPOINTS,
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/score",
    "/v1/rerank",
)
_ORDERS: Final = ("asc", "desc")
_WINDOW: Final = re.compile(r"([1-9]\d{0,4})([mhd])")
_UNITS: Final = {"m": 60, "h": 3600, "d": DAY}
Wire = dict[str, Any]


async def create_file(call: ClientCall) -> web.StreamResponse:
    """Accept an upload, writing its bytes straight to disk."""
    if not is_form(call.request):
        raise invalid("Expected a multipart/form-data request.")
    store = call.store
    file_id = f"file-{secrets.token_hex(12)}"
    path = store.file_path(file_id)
    try:
        fields, lines = await read_form(call.request, path)
        size = path.stat().st_size if path.exists() else 0
        check_form(fields, size, batch_bytes=FILE_BYTES)
        if fields["purpose"] != "batch":
            raise invalid(
                f"The gateway keeps files of the purpose 'batch' only, not {fields['purpose']!r}: "
                "upload others to the vendor itself.",
                param="purpose",
            )
        await asyncio.to_thread(sync_files, path.parent, [path])  # takes seconds for a large one
        now = store.now()
        file = KeptFile(
            id=file_id,
            path=path,
            filename=fields["filename"],
            purpose="batch",
            size=size,
            lines=lines,
            created_at=now,
            expires_at=expiry(fields, now),
            owner=call.owner,
        )
        store.keep(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return json_answer(file.to_wire())


async def list_files(call: ClientCall) -> web.StreamResponse:
    """List files, newest first unless asked otherwise."""
    query = call.request.query
    purpose = query.get("purpose")
    found = [each for each in call.store.files_of(call.owner) if purpose in (None, each.purpose)]
    order = query.get("order", "desc")
    if order not in _ORDERS:
        raise invalid(f"Invalid 'order': expected 'asc' or 'desc', got '{order}'.", param="order")
    if order == "desc":
        found.reverse()
    page, has_more = _page(call, found, default=10_000, most=10_000)
    return openai_list([each.to_wire() for each in page], has_more=has_more)


async def retrieve_file(call: ClientCall, file_id: str) -> web.StreamResponse:
    """Show one file."""
    return json_answer(call.store.find_file(file_id, call.owner).to_wire())


async def file_content(call: ClientCall, file_id: str) -> web.StreamResponse:
    """Send a file's bytes; a Range request gets the part it asks for."""
    path = call.store.find_file(file_id, call.owner).path
    return Download(path, "application/octet-stream")


async def delete_file(call: ClientCall, file_id: str) -> web.StreamResponse:
    """Remove a file; batches made from it go on."""
    call.store.drop(call.store.find_file(file_id, call.owner))
    return json_answer({"id": file_id, "object": "file", "deleted": True})


async def create_batch(call: ClientCall) -> web.StreamResponse:
    """Accept a batch; its input file is checked first, and then its requests are sent."""
    body = await call.body(CREATE_BYTES)
    wanted = read_openai(BATCH_CREATE, body)
    store, once = call.store, call.once(body)
    if (made := call.made_before("openai", once)) is not None:
        return json_answer(batch_object(made))
    mine = {each.id: each for each in store.files_of(call.owner)}
    stored = mine.get(wanted.input_file_id)
    check_create(wanted, stored, ENDPOINTS)
    expires = wanted.output_expires_after
    now = store.now()
    batch = BatchRecord(
        id=f"batch_{secrets.token_hex(12)}",
        vendor="openai",
        owner=call.owner,
        prefix=call.upstream.prefix,
        endpoint=wanted.endpoint,
        created_at=now,
        expires_at=now + _seconds(wanted.completion_window),
        window=wanted.completion_window,
        headers=call.kept_headers,
        input_file_id=wanted.input_file_id,
        output_seconds=None if expires is None else float(expires.seconds),
        metadata=wanted.metadata,
        once=once,
    )
    store.take(batch, mine[wanted.input_file_id].path)
    call.runner.carry(batch)
    return json_answer(batch_object(batch))


async def list_batches(call: ClientCall) -> web.StreamResponse:
    """List batches, newest first."""
    found = call.store.batches_of(call.owner, "openai")
    page, has_more = _page(call, found, default=20, most=100)
    return openai_list([batch_object(each) for each in page], has_more=has_more)


async def retrieve_batch(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Show the state of a batch."""
    return json_answer(batch_object(_find(call, batch_id)))


async def cancel_batch(call: ClientCall, batch_id: str) -> web.StreamResponse:
    """Begin to cancel a batch; it keeps the answers it has."""
    batch = _find(call, batch_id)
    if batch.is_final or batch.phase == "finalizing":
        message = f"Cannot cancel a batch with status '{batch.phase}'."
        raise RefusedError(VendorError(status=409, message=message))
    call.runner.cancel(batch)
    return json_answer(batch_object(batch))


def batch_object(batch: BatchRecord) -> Wire:
    """The batch as OpenAI shows it."""
    is_valid = batch.phase not in ("validating", "failed")
    is_cancelling = batch.cancelling_at is not None and not batch.is_final
    ended = dict.fromkeys(("completed", "failed", "expired", "cancelled"))
    counts = batch.counts
    errors = [
        {"code": each.code, "line": each.line, "message": each.message, "param": each.param}
        for each in batch.errors
    ]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.window,
        "status": "cancelling" if is_cancelling else batch.phase,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": int(batch.created_at),
        "in_progress_at": _whole(batch.in_progress_at),
        "expires_at": int(batch.expires_at),
        "finalizing_at": _whole(batch.finalizing_at),
        **{f"{phase}_at": _ended(batch, phase) for phase in ended},
        "cancelling_at": _whole(batch.cancelling_at),
        "request_counts": {
            "total": batch.total if is_valid else 0,
            "completed": counts.succeeded,
            "failed": counts.errored + counts.expired,
        },
        "usage": usage_object(batch.usage) if batch.usage is not None else None,
        "metadata": batch.metadata,
    }


def _ended(batch: BatchRecord, phase: str) -> int | None:
    return _whole(batch.ended_at) if batch.phase == phase else None


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)


def _find(call: ClientCall, batch_id: str) -> BatchRecord:
    batch = call.store.batches.get(batch_id)
    if batch is None or (batch.vendor, batch.owner) != ("openai", call.owner):
        raise not_found(f"No batch found with id '{batch_id}'.")
    return batch


def _seconds(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise invalid(
            f"Invalid value: '{window}'. Write a number of minutes, hours or days, as '24h'.",
            param="completion_window",
            code="invalid_value",
        )
    return int(found[1]) * _UNITS[found[2]]


def _page(call: ClientCall, found: list[Any], *, default: int, most: int) -> tuple[list[Any], bool]:
    limit = page_limit(call.request, default=default, most=most)
    after = call.request.query.get("after")
    if after is not None and all(each.id != after for each in found):
        raise not_found(f"Nothing found with id '{after}'.")
    return page_after(call.request, found, limit)
