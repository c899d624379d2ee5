"""The files of one job, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from batchata.core.document import (
    DOCX,
    PDF,
    Accepts,
    Document,
    FileId,
    FileSource,
    FileUrl,
    check_source,
    is_url,
)
from batchata.core.errors import ValidationError
from batchata.documents.images import image_side, is_large, shrunk
from batchata.documents.kinds import kind_of, media_type
from batchata.documents.office import html_text, office_facts, office_text
from batchata.documents.opened_file import MOST_TEXT, OpenedFile, opened, read_on, too_long
from batchata.documents.pdf_facts import pdf_facts
from batchata.documents.texts import decode_text

_ANYTHING: Final = Accepts(is_whole=True)
_REFERRED_TYPES: Final = {"pdf": PDF, "image": "image/*", "office": DOCX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a job's files are loaded for."""

    accepts: Accepts = _ANYTHING
    is_cited: bool = False  #: the answer will quote them
    downscale_images: bool = False


def load_all(sources: Sequence[FileSource], wanted: Wanted) -> tuple[Document, ...]:
    """All files of a job, each with a unique name; ValidationError names the bad one."""
    documents = [load(source, wanted=wanted) for source in sources]
    if wanted.downscale_images:
        images = sum(document.kind == "image" for document in documents)
        side, most = wanted.accepts.side(images), wanted.accepts.image_bytes
        documents = [
            shrunk(each, side, most)
            if each.kind == "image" and not each.is_referred and is_large(each, side, most)
            else each
            for each in documents
        ]
    return tuple(_named_apart(documents))


def load(source: FileSource, name: str | None = None, *, wanted: Wanted | None = None) -> Document:
    """One file, checked; ValidationError, naming it, when it cannot be sent.

    A file with a path is read once and not kept, unless it is text.
    """
    check_source(source)
    if isinstance(source, str) and is_url(source):
        source = FileUrl(source)
    if isinstance(source, (FileId, FileUrl)):
        return _referred(source, name)
    if isinstance(source, tuple):
        name, source = source
    if isinstance(source, str):
        _check_no_id(source)
    place = source if isinstance(source, bytes) else Path(source)
    if name is None:
        name = "document" if isinstance(place, bytes) else place.name
    with opened(place, name) as found:
        return _checked(found, wanted or Wanted())


def _checked(found: OpenedFile, wanted: Wanted) -> Document:
    media = media_type(found.name, found.head, found.file)
    kind = kind_of(media)
    found.file.seek(len(found.head))
    read_on(found, is_text=kind == "text")
    base = Document(
        name=found.name,
        media_type=media,
        kind=kind,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        path=found.path,
        data=found.content if kind != "text" else None,
    )
    if kind == "pdf":
        _check_end(found)
        facts = pdf_facts(found.file, found.name, is_cited=wanted.is_cited)
        return replace(base, pages=facts.pages, text_bytes=facts.text_bytes)
    if kind == "image":
        width, height = image_side(found, media)
        return replace(base, width=width, height=height)
    if kind == "office":
        return _office(found, base, wanted.accepts)
    text = decode_text(found.content or b"", found.name)
    if media == "text/html" and not wanted.accepts.is_whole:
        text = html_text(text, found.name)
    return _as_text(base, text)


def _office(found: OpenedFile, base: Document, accepts: Accepts) -> Document:
    facts = office_facts(found.file, found.name, base.media_type)
    rows = accepts.sheet_rows
    is_taken = accepts.is_whole or base.media_type in accepts.office
    if is_taken and (rows is None or facts.sheet_rows <= rows):
        return replace(base, text_bytes=facts.text_bytes)
    found.file.seek(0)
    return _as_text(base, office_text(found.file, found.name, base.media_type))


def _as_text(document: Document, text: str) -> Document:
    if not text.strip():
        raise ValidationError(
            f"{document.name!r} holds no text", hint="give a file with content, or a PDF of it"
        )
    if len(text) > MOST_TEXT:
        raise too_long(document.name)
    return replace(document, kind="text", text=text, data=None, path=None)


def _check_end(found: OpenedFile) -> None:
    if b"%%EOF" not in found.tail and b"startxref" not in found.tail:
        raise ValidationError(
            f"PDF {found.name!r} is damaged: it is cut off, its end (%%EOF) is missing",
            hint="fetch it again, or open it in a viewer and save it again",
        )


def _check_no_id(source: str) -> None:
    if source.startswith(("file-", "file_")) and not Path(source).exists():
        raise ValidationError(
            f"{source!r} is not a file here, and looks like the id of an uploaded one",
            hint=f'write file=FileId("{source}"), after: from batchata import FileId',
        )


def _referred(source: FileId | FileUrl, name: str | None) -> Document:
    """A file that the vendor has or fetches, of which nothing can be checked here."""
    is_id = isinstance(source, FileId)
    kind = source.kind if isinstance(source, FileId) else source.told_kind
    address = source.id if isinstance(source, FileId) else source.url
    plain = address.partition("?")[0].partition("#")[0].rstrip("/")
    return Document(
        name=source.name or name or plain.rpartition("/")[2] or address,
        media_type=_REFERRED_TYPES[kind],
        kind=kind,
        size_bytes=0,
        sha256="",
        url=None if is_id else address,
        file_id=address if is_id else None,
    )


def _named_apart(documents: Sequence[Document]) -> list[Document]:
    """Numbers documents of the same name, so that citations can tell them apart."""
    seen: set[str] = set()
    apart = []
    for document in documents:
        name, count = document.name, 1
        while name in seen:
            count += 1
            path = PurePath(document.name)
            name = f"{path.stem} ({count}){path.suffix}"
        seen.add(name)
        apart.append(document if name == document.name else replace(document, name=name))
    return apart
