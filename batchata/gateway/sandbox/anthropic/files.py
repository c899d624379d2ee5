"""Anthropic's files: kept on disk, named in requests, and expiring."""

from pathlib import Path
from typing import Final

from aiohttp import web

from batchata.gateway.sandbox.media import sniffed
from batchata.gateway.sandbox.records import AnthropicFile
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.wire.errors import invalid, not_found
from batchata.gateway.wire.json_answers import json_answer, page_limit
from batchata.gateway.wire.uploads import is_form, read_form

EXPIRY_RANGE: Final = (3_600, 7_776_000)
MOST_IDS: Final = 100
FIELDS: Final = frozenset({"filename", "expires_in_seconds"})


async def create(request: web.Request) -> web.StreamResponse:
    """Accept an upload, writing its bytes straight to disk."""
    world = world_of(request)
    if not is_form(request):
        raise invalid("Expected a multipart/form-data request.")
    path = world.new_path(".upload")
    fields, _ = await read_form(request, path)
    stored = _stored(world, path, fields)
    world.anthropic_files[stored.id] = stored
    return json_answer(stored.to_wire())


async def list_files(request: web.Request) -> web.StreamResponse:
    """List files, newest first, or those asked for by id."""
    world = world_of(request)
    found = list(reversed(world.anthropic_files.values()))
    ids = request.query.getall("ids", []) + request.query.getall("ids[]", [])
    if ids:
        if len(set(ids)) > MOST_IDS:
            raise invalid(f"ids: at most {MOST_IDS} entries are allowed")
        wanted = [file.to_wire() for file in found if file.id in ids]
        return json_answer({"data": wanted, "next_page": None})
    limit = page_limit(request, default=20, most=1_000)
    after = request.query.get("page", "").removeprefix("page_")
    names = [file.id for file in found]
    start = names.index(after) + 1 if after in names else 0
    page = found[start : start + limit]
    more = f"page_{page[-1].id}" if len(found) > start + limit else None
    return json_answer({"data": [file.to_wire() for file in page], "next_page": more})


async def retrieve(request: web.Request) -> web.StreamResponse:
    """Show one file."""
    return json_answer(_find(request).to_wire())


async def content(request: web.Request) -> web.StreamResponse:
    """Refuse to give an upload back, as the vendor does."""
    found = _find(request)
    raise invalid(f"File {found.id} is not downloadable.", code="file_not_downloadable")


async def delete(request: web.Request) -> web.StreamResponse:
    """Remove a file."""
    found = _find(request)
    del world_of(request).anthropic_files[found.id]
    found.path.unlink(missing_ok=True)
    return json_answer({"id": found.id, "type": "file_deleted"})


def _find(request: web.Request) -> AnthropicFile:
    file_id = request.match_info["id"]
    found = world_of(request).anthropic_files.get(file_id)
    if found is None:
        raise not_found(f"File not found: {file_id}")
    return found


def _stored(world: World, path: Path, fields: dict[str, str]) -> AnthropicFile:
    if "filename" not in fields:
        raise invalid("file: Field required")
    if unknown := sorted(set(fields) - FIELDS):
        raise invalid(f"{unknown[0]}: Extra inputs are not permitted")
    size = path.stat().st_size
    if not size:
        raise invalid("file: File is empty")
    now = world.now()
    with path.open("rb") as file:
        mime_type = sniffed(file.read(4096))
    return AnthropicFile(
        id=world.make_id("file_sandbox_"),
        path=path,
        filename=fields["filename"],
        mime_type=mime_type,
        size=size,
        created_at=now,
        expires_at=_expiry(fields, now),
    )


def _expiry(fields: dict[str, str], now: float) -> float | None:
    given = fields.get("expires_in_seconds")
    if given is None:
        return None
    low, high = EXPIRY_RANGE
    if not given.isdigit() or not low <= int(given) <= high:
        raise invalid(f"expires_in_seconds: Input should be between {low} and {high}")
    return now + int(given)
