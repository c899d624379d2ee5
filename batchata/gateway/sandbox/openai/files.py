"""OpenAI's files: kept on disk, streamed in and out."""

from pathlib import Path

from aiohttp import web

from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.downloads import Download
from batchata.gateway.wire.errors import RefusedError, invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, openai_list, page_after, page_limit
from batchata.gateway.wire.uploads import (
    BATCH_DAYS,
    DAY,
    StoredFile,
    check_form,
    expiry,
    is_form,
    read_form,
)


async def create(request: web.Request) -> web.StreamResponse:
    """Accept an upload, writing its bytes straight to disk."""
    world = world_of(request)
    if not is_form(request):
        raise invalid("Expected a multipart/form-data request.")
    path = world.new_path(".upload")
    try:
        fields, lines = await read_form(request, path)
        stored = _stored(world, path, fields, lines)
    except RefusedError:
        path.unlink(missing_ok=True)
        raise
    world.files[stored.id] = stored
    return json_answer(stored.to_wire())


async def list_files(request: web.Request) -> web.StreamResponse:
    """List files, newest first unless asked otherwise."""
    world = world_of(request)
    purpose = request.query.get("purpose")
    found = [f for f in living(world) if purpose is None or f.purpose == purpose]
    if request.query.get("order", "desc") == "desc":
        found.reverse()
    limit = page_limit(request, default=10_000, most=10_000)
    page, has_more = page_after(request, found, limit)
    return openai_list([file.to_wire() for file in page], has_more=has_more)


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show one file."""
    return json_answer(find(world_of(request), request.match_info["id"]).to_wire())


async def content(request: web.Request) -> web.StreamResponse:
    """Send a file's bytes; a Range request gets the part it asks for."""
    stored = find(world_of(request), request.match_info["id"])
    return Download(stored.path, "application/octet-stream")


async def delete(request: web.Request) -> web.StreamResponse:
    """Remove a file."""
    world = world_of(request)
    stored = find(world, request.match_info["id"])
    del world.files[stored.id]
    return json_answer({"id": stored.id, "object": "file", "deleted": True})


def find(world: World, file_id: str) -> StoredFile:
    """Find a file that has not expired, or answer as the vendor does."""
    stored = world.files.get(file_id)
    if stored is None or (stored.expires_at is not None and stored.expires_at <= world.now()):
        raise not_found(f"No such File object: {file_id}")
    return stored


def living(world: World) -> list[StoredFile]:
    """List the files that have not expired, oldest first."""
    now = world.now()
    return [f for f in world.files.values() if f.expires_at is None or f.expires_at > now]


def keep_result(world: World, path: Path, name: str, *, seconds: float | None) -> StoredFile:
    """Make a file object of a batch's output."""
    now = world.now()
    stored = StoredFile(
        id=world.make_id("file-sandbox-"),
        path=path,
        filename=name,
        purpose="batch_output",
        size=path.stat().st_size,
        lines=0,
        created_at=now,
        expires_at=now + (BATCH_DAYS * DAY if seconds is None else seconds),
    )
    world.files[stored.id] = stored
    return stored


def _stored(world: World, path: Path, fields: dict[str, str], lines: int) -> StoredFile:
    size = path.stat().st_size
    check_form(fields, size, batch_bytes=world.scenario.openai_max_bytes)
    now = world.now()
    return StoredFile(
        id=world.make_id("file-sandbox-"),
        path=path,
        filename=fields["filename"],
        purpose=fields["purpose"],
        size=size,
        lines=lines,
        created_at=now,
        expires_at=expiry(fields, now),
    )
