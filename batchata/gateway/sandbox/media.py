"""What both vendors check about a file inside a request."""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchata.core.errors import ValidationError
from batchata.core.media import side_of
from batchata.documents.pdf import count_pages

PDF: Final = "application/pdf"
IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
MAGIC: Final = (
    (b"%PDF-", PDF),
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
)


@dataclass(frozen=True, slots=True)
class Inline:
    """A file that is in the request itself."""

    media_type: str
    data: bytes


def decoded(data: object) -> bytes | None:
    """Decode base64 strictly; None when it is invalid or empty."""
    if not isinstance(data, str):
        return None
    try:
        return b64decode(data, validate=True) or None
    except (binascii.Error, ValueError):
        return None


def data_url(url: object) -> Inline | None:
    """Read a base64 data URL; None for anything else."""
    if not isinstance(url, str) or not url.startswith("data:"):
        return None
    head, _, data = url.partition(",")
    media_type, _, encoding = head.removeprefix("data:").partition(";")
    found = decoded(data)
    return Inline(media_type, found) if found and encoding == "base64" and media_type else None


def sniffed(head: bytes) -> str:
    """Tell a file's media type by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    found = next((media for magic, media in MAGIC if head.startswith(magic)), None)
    if found is None:
        return "text/plain" if b"\0" not in head else "application/octet-stream"
    return found


def pdf_fault(data: bytes) -> tuple[str, int]:
    """What is wrong with a PDF ("", "broken" or "encrypted"), and its pages."""
    try:
        return "", count_pages(data, "document")
    except ValidationError as error:
        return ("encrypted" if "encrypted" in error.message else "broken"), 0


def longest_side(data: bytes) -> int:
    """The longer side of an image in pixels; 0 when it does not say."""
    return max(side_of(data) or (0, 0))


def stored(path: Path) -> bytes:
    """Read an uploaded file."""
    return path.read_bytes()
