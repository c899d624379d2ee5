"""The files of OpenAI: kept on disk, streamed in and out."""

from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web

from batchata.gateway.sandbox.downloads import Download
from batchata.gateway.sandbox.json_answers import json_answer, openai_list, page_after, page_limit
from batchata.gateway.sandbox.records import StoredFile
from batchata.gateway.sandbox.world import World, world_of
from batchata.gateway.vendor_errors import RefusedError, VendorError, invalid, not_found

PURPOSES: Final = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
FILE_LIMIT: Final = 512_000_000
FIELD_LIMIT: Final = 64 * 1024  #: bytes of any other field of an upload
BATCH_DAYS: Final = 30
DAY: Final = 86_400
EXPIRY_RANGE: Final = (3_600, 2_592_000)
CHUNK: Final = 1 << 18


async def create(request: web.Request) -> web.StreamResponse:
    """Take an upload, its bytes straight to disk."""
    world = world_of(request)
    if not request.content_type.startswith("multipart/"):
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


async def read_form(request: web.BaseRequest, path: Path) -> tuple[dict[str, str], int]:
    """Read the fields of an upload, its file to `path`, and count its lines."""
    fields: dict[str, str] = {}
    lines = 0
    async for part in MultipartReader(
        request.headers, request.content, client_max_size=FIELD_LIMIT
    ):
        if not isinstance(part, BodyPartReader):
            raise invalid("Nested multipart parts are not supported.")
        if part.name == "file":
            fields["filename"] = part.filename or "upload"
            lines = await _save(part, path)
        else:
            fields[part.name or ""] = await _text(part)
    return fields, lines


async def _text(part: BodyPartReader) -> str:
    try:
        return await part.text()
    except ValueError as error:
        raise invalid(f"Field {part.name!r} is too long, or no text.") from error


async def _save(part: BodyPartReader, path: Path) -> int:
    lines, last = 0, b"\n"
    with path.open("wb") as file:
        while chunk := await part.read_chunk(CHUNK):
            file.write(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
            if file.tell() > FILE_LIMIT:
                raise RefusedError(
                    VendorError(status=413, message=f"File is too large. Max is {FILE_LIMIT}.")
                )
    return lines + (last != b"\n")


def check_form(fields: dict[str, str], size: int, *, batch_bytes: int) -> None:
    """Refuse an upload whose fields or size are wrong."""
    if "filename" not in fields:
        raise invalid("'file' is a required property", param="file")
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        raise invalid(f"'{purpose}' is not one of {sorted(PURPOSES)} - 'purpose'", param="purpose")
    if unknown := sorted(
        set(fields) - {"filename", "purpose", "expires_after[anchor]", "expires_after[seconds]"}
    ):
        raise invalid(f"Unknown parameter: '{unknown[0]}'.", param=unknown[0])
    if purpose == "batch":
        _check_batch_file(fields["filename"], size, batch_bytes)


def expiry(fields: dict[str, str], now: float) -> float | None:
    """When an upload goes away; None: it stays."""
    given = fields.get("expires_after[seconds]")
    if given is None:
        return now + BATCH_DAYS * DAY if fields.get("purpose") == "batch" else None
    if fields.get("expires_after[anchor]") != "created_at":
        raise invalid(
            "Invalid 'expires_after.anchor': expected 'created_at'.", param="expires_after.anchor"
        )
    low, high = EXPIRY_RANGE
    if not given.isdigit() or not low <= int(given) <= high:
        raise invalid(
            f"Invalid 'expires_after.seconds': expected {low} to {high}.",
            param="expires_after.seconds",
        )
    return now + int(given)


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


def _check_batch_file(name: str, size: int, most_bytes: int) -> None:
    if not name.endswith(".jsonl"):
        raise invalid(
            f"Invalid file format for Batch API. Must be .jsonl, got '{name}'.", param="file"
        )
    if size == 0:
        raise invalid("File is empty.", param="file")
    if size > most_bytes:
        message = f"File is too large for the Batch API: {size} bytes."
        raise RefusedError(VendorError(status=413, message=message, param="file"))
