"""The uploads of OpenAI's Files API: read straight to disk, and refused as OpenAI does."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web

from batchata.gateway.wire.errors import RefusedError, VendorError, invalid

PURPOSES: Final = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
FILE_LIMIT: Final = 512_000_000
FIELD_LIMIT: Final = 64 * 1024  #: bytes of any other field of an upload
BATCH_DAYS: Final = 30
DAY: Final = 86_400
EXPIRY_RANGE: Final = (3_600, 2_592_000)
CHUNK: Final = 1 << 18


@dataclass(slots=True, kw_only=True)
class StoredFile:
    """One file, its bytes on disk."""

    id: str
    path: Path
    filename: str
    purpose: str
    size: int
    lines: int
    created_at: float
    expires_at: float | None = None

    def to_wire(self) -> dict[str, object]:
        """Give the file object of the API."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": int(self.created_at),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": None if self.expires_at is None else int(self.expires_at),
            "status_details": None,
        }


def is_form(request: web.BaseRequest) -> bool:
    """True for an upload; avoids `content_type`, which runs an e-mail parser over the header."""
    return request.headers.get("Content-Type", "").lower().startswith("multipart/")


async def read_form(request: web.BaseRequest, path: Path) -> tuple[dict[str, str], int]:
    """Read the fields of an upload, its file to `path`, and count its lines.

    Raises RefusedError for anything but a complete form within the limits.
    """
    try:
        return await _read_parts(request, path)
    except ValueError as error:
        raise invalid(f"The form cannot be read: {error}.") from error


async def _read_parts(request: web.BaseRequest, path: Path) -> tuple[dict[str, str], int]:
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
    """When an upload expires; None if it stays."""
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
