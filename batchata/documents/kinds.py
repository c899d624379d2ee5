"""Tells what a file is from its first bytes; a name alone proves nothing."""

from __future__ import annotations

from pathlib import PurePath
from typing import BinaryIO, Final
from zipfile import BadZipFile, ZipFile

from batchata.core.document import DOCX, PDF, PPTX, XLSX, DocumentKind
from batchata.core.errors import ValidationError
from batchata.documents.texts import is_text

OFFICE: Final = frozenset({DOCX, XLSX, PPTX})
_IMAGES: Final = (
    ("image/png", b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF87a"),
    ("image/gif", b"GIF89a"),
)
#: what files with these extensions must be
_PROMISED: Final[dict[str, str]] = {
    ".pdf": PDF,
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".docx": DOCX,
    ".xlsx": XLSX,
    ".pptx": PPTX,
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
#: the part that makes a ZIP file an office file
_OFFICE_PARTS: Final = (
    ("word/document.xml", DOCX),
    ("xl/workbook.xml", XLSX),
    ("ppt/presentation.xml", PPTX),
)
_SAID: Final = {DOCX: "a Word document", XLSX: "an Excel workbook", PPTX: "a slide show"}
_ZIP: Final = b"PK\x03\x04"
#: common files that cannot be sent as they are
_FOREIGN: Final = (
    (_ZIP, "a ZIP file, but not a Word, Excel or PowerPoint file"),
    (b"\xd0\xcf\x11\xe0", "an old or a protected Office file (doc, xls, ppt)"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"BM", "a BMP image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"SQLite format 3", "a SQLite database"),
    (b"PAR1", "a Parquet file"),
)


def media_type(name: str, head: bytes, file: BinaryIO) -> str:
    """The media type of a file that begins with `head`.

    Raises ValidationError when it cannot be sent, or is not what its name says.
    """
    found = _binary_type(head)
    if found is None and head.startswith(_ZIP):
        found = _office_type(name, file)
    promised = _PROMISED.get(PurePath(name).suffix.lower())
    is_office = found in OFFICE or promised in OFFICE
    if promised is not None and found != promised and (found is None or is_office):
        raise ValidationError(
            f"{name!r} is named like {said(promised)} but is {_described(found, head)}",
            hint="save it again in that format, or give it its right name",
        )
    if found is not None:
        return found
    if not is_text(head):
        raise ValidationError(
            f"{name!r} is {_described(found, head)}, which cannot be sent",
            hint="give a PDF, a PNG, JPEG, GIF or WebP image, a Word, Excel or PowerPoint file, "
            "or a text file",
        )
    return _TEXTS.get(PurePath(name).suffix.lower(), "text/plain")


def kind_of(media: str) -> DocumentKind:
    """How files of this media type are sent."""
    if media == PDF:
        return "pdf"
    if media in OFFICE:
        return "office"
    return "image" if media.startswith("image/") else "text"


def said(media: str) -> str:
    """An office file's media type in words."""
    return _SAID.get(media, media)


def _binary_type(head: bytes) -> str | None:
    if b"%PDF-" in head[:1024]:
        return PDF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for kind, magic in _IMAGES if head.startswith(magic)), None)


def _office_type(name: str, file: BinaryIO) -> str | None:
    try:
        with ZipFile(file) as archive:
            parts = set(archive.namelist())
    except (BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise ValidationError(
            f"{name!r} is a damaged Office or ZIP file: {error}",
            hint="it may be cut off: fetch it, or save it, again",
        ) from error
    return next((media for part, media in _OFFICE_PARTS if part in parts), None)


def _described(found: str | None, head: bytes) -> str:
    if found is not None:
        return said(found)
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            return what
    return "a text file" if is_text(head) else "a binary file of an unknown kind"
