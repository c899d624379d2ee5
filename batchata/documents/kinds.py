"""What a file is, told by its first bytes; a name alone proves nothing."""

from __future__ import annotations

import codecs
from pathlib import PurePath
from typing import Final

from batchata.core.errors import ValidationError

PDF: Final = "application/pdf"
_IMAGES: Final = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF87a"),
    ("image/gif", b"GIF89a"),
)
#: what files with these endings must be
_PROMISED: Final[dict[str, str]] = {
    ".pdf": PDF,
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
_TEXTS: Final[dict[str, str]] = {
    ".csv": "text/csv",
    ".htm": "text/html",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".tsv": "text/tab-separated-values",
    ".xml": "text/xml",
}
#: files that are met often and cannot be sent as they are
_FOREIGN: Final = (
    (b"PK\x03\x04", "a ZIP or an Office file (docx, xlsx, pptx)"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (doc, xls, ppt)"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
)
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b"))
_LOOKED_AT: Final = 65_536


def media_type(name: str, data: bytes) -> str:
    """The media type of `data`; ValidationError when it is nothing that a vendor takes."""
    found = _binary_type(data)
    promised = _PROMISED.get(PurePath(name).suffix.lower())
    if found is None and promised is not None:
        raise ValidationError(
            f"{name!r} is named like {promised} and is {_described(data)}",
            hint="save it again in that format, or give it its right name",
        )
    if found is not None:
        return found
    if not _is_text(data):
        raise ValidationError(
            f"{name!r} is {_described(data)}, which cannot be sent",
            hint="give a PDF, a PNG, JPEG, GIF or WebP image, or a text file",
        )
    return _TEXTS.get(PurePath(name).suffix.lower(), "text/plain")


def decode_text(data: bytes) -> str:
    """The text of a file: by its byte order mark, else UTF-8, else the Western code pages."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError:
                break
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _binary_type(data: bytes) -> str | None:
    if b"%PDF-" in data[:1024]:
        return PDF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for kind, magic in _IMAGES if data.startswith(magic)), None)


def _is_text(data: bytes) -> bool:
    """True unless a byte is there that text does not hold; marked UTF-16 and UTF-32 are text."""
    if any(data.startswith(mark) for mark, _ in _MARKS):
        return True
    head = data[:_LOOKED_AT]
    return len(head.translate(None, _NO_TEXT)) == len(head)


def _described(data: bytes) -> str:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            return what
    binary = _binary_type(data)
    if binary:
        return binary
    return "a text file" if _is_text(data) else "a binary file of an unknown kind"
