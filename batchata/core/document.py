"""A file that a job asks about, ready to be put into a request."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from batchata.core.errors import ValidationError

DocumentKind = Literal["pdf", "image", "text", "office"]
_MARK = "\ue000batchata-file:"
_END = "\ue001"

PDF: Final = "application/pdf"
_OOXML: Final = "application/vnd.openxmlformats-officedocument."
DOCX: Final = _OOXML + "wordprocessingml.document"
XLSX: Final = _OOXML + "spreadsheetml.sheet"
PPTX: Final = _OOXML + "presentationml.presentation"
_REFERRED: Final = ("pdf", "image", "office")
_SUFFIX_KINDS: Final[dict[str, DocumentKind]] = {
    ".png": "image",
    ".jpg": "image",
    ".jpeg": "image",
    ".gif": "image",
    ".webp": "image",
    ".docx": "office",
    ".xlsx": "office",
    ".pptx": "office",
}


@dataclass(frozen=True, slots=True)
class FileId:
    """A file that the vendor already has, by its id there; an image needs `kind="image"`."""

    id: str
    kind: Literal["pdf", "image", "office"] = "pdf"
    name: str | None = None  #: shown to the model and in citations

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id.strip():
            raise ValidationError(f"the file id is {self.id!r}", hint='write FileId("file-abc123")')
        _check_kind(self.kind)


@dataclass(frozen=True, slots=True)
class FileUrl:
    """A file that the vendor fetches itself; without `kind` the end of the address tells it."""

    url: str
    kind: Literal["pdf", "image", "office"] | None = None
    name: str | None = None  #: shown to the model and in citations

    def __post_init__(self) -> None:
        if not isinstance(self.url, str) or not is_url(self.url):
            raise ValidationError(
                f"{self.url!r:.80} is not a web address", hint='write FileUrl("https://…/a.pdf")'
            )
        if self.kind is not None:
            _check_kind(self.kind)

    @property
    def told_kind(self) -> DocumentKind:
        """The kind given, else what the address ends in, else a PDF."""
        end = self.url.partition("?")[0].partition("#")[0].lower()
        suffix = "." + end.rpartition("/")[2].rpartition(".")[2]
        return self.kind or _SUFFIX_KINDS.get(suffix, "pdf")


#: a path, bytes, (name, bytes), an https address, or a file that the vendor has
FileSource = str | Path | bytes | tuple[str, bytes] | FileId | FileUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A checked file: `text` for text-like ones; others by their path, bytes, address or vendor id.

    A file with a path is not held in memory: requests carry its `marker`, and its bytes join them
    on their way to the vendor.
    """

    name: str
    media_type: str  #: as "application/pdf"
    kind: DocumentKind
    size_bytes: int
    sha256: str
    path: str | None = None  #: absolute
    data: bytes | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    url: str | None = None  #: where the vendor fetches it
    file_id: str | None = None  #: the vendor has it already
    pages: int | None = None  #: of a PDF
    text_bytes: int | None = None  #: at least the size of its text, where it was read
    width: int | None = None  #: of an image, in pixels
    height: int | None = None

    @property
    def marker(self) -> str:
        """Stands in a request body for the file's bytes as base64."""
        return f"{_MARK}{self.sha256}{_END}"

    @property
    def is_referred(self) -> bool:
        """True when the request names the file only: by its address or its id."""
        return self.url is not None or self.file_id is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that joins a request body at its marker on the way to the vendor."""

    name: str
    media_type: str
    sha256: str
    size_bytes: int
    path: str

    @property
    def marker(self) -> str:
        """Stands in the body for the file's bytes as base64."""
        return f"{_MARK}{self.sha256}{_END}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepts:
    """What a vendor takes as a file; the rest is converted to text before it is sent."""

    office: frozenset[str] = frozenset()  #: media types of office files taken as they are
    sheet_rows: int | None = None  #: of each sheet of a workbook; what follows is not read
    image_bytes: int | None = None
    image_side: int | None = None  #: longest side in pixels
    many_images: int | None = None  #: with more images than this in one request …
    many_side: int | None = None  #: … each may have this longest side only
    is_whole: bool = False  #: takes every file as it is: nothing is converted

    def side(self, images: int) -> int | None:
        """Longest side of each of so many images in one request."""
        is_many = self.many_images is not None and images > self.many_images
        return self.many_side if is_many else self.image_side


def attachment_of(document: Document) -> Attachment | None:
    """The attachment of a document that a body only marks; None for one that is in the body."""
    if document.path is None or document.kind == "text":
        return None
    return Attachment(
        name=document.name,
        media_type=document.media_type,
        sha256=document.sha256,
        size_bytes=document.size_bytes,
        path=document.path,
    )


def is_url(source: str) -> bool:
    """True for a web address."""
    return source[:8].lower().startswith(("https://", "http://"))


def check_source(source: Any) -> None:
    """Raise ValidationError unless this can be a file of a job; looks at nothing outside."""
    if isinstance(source, (FileId, FileUrl, bytes, Path)):
        return
    if isinstance(source, str) and source.strip():
        return
    if isinstance(source, tuple) and len(source) == 2:
        name, data = source
        if isinstance(name, str) and name.strip() and isinstance(data, bytes):
            return
    raise ValidationError(
        f"file is {source!r:.80}, not a file",
        hint='write a path, an https address, bytes, ("name.pdf", bytes) or FileId("file-…")',
    )


def source_to_json(source: FileSource) -> Any:
    """A file source as JSON-ready values."""
    if isinstance(source, FileId):
        return {"file_id": source.id, "kind": source.kind, "name": source.name}
    if isinstance(source, FileUrl):
        return {"url": source.url, "kind": source.kind, "name": source.name}
    if isinstance(source, bytes):
        return {"base64": b64encode(source).decode()}
    if isinstance(source, tuple):
        return {"name": source[0], "base64": b64encode(source[1]).decode()}
    return str(source)


def source_from_json(said: Any) -> FileSource:
    """A file source from `source_to_json()`."""
    if not isinstance(said, Mapping):
        check_source(said)
        source: FileSource = said
        return source
    name = said.get("name")
    if "base64" in said:
        data = b64decode(said["base64"])
        return data if name is None else (name, data)
    if "url" in said:
        return FileUrl(said["url"], said.get("kind"), name)
    return FileId(said.get("file_id", ""), said.get("kind") or "pdf", name)


def _check_kind(kind: object) -> None:
    if kind not in _REFERRED:
        raise ValidationError(
            f"kind is {kind!r}", hint=f"use {', '.join(repr(each) for each in _REFERRED)}"
        )
