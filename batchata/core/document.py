"""A file that a job asks about, ready to be put into a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DocumentKind = Literal["pdf", "image", "text"]
_MARK = "\ue000batchata-file:"
_END = "\ue001"


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
    text_bytes: int | None = None  #: size of a PDF's text layer, where it was read
    width: int | None = None  #: of an image, in pixels
    height: int | None = None

    @property
    def marker(self) -> str:
        """Stands in a request body for the file's bytes as base64."""
        return f"{_MARK}{self.sha256}{_END}"


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
