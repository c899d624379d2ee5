"""A file that a job asks about, ready to be put into a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DocumentKind = Literal["pdf", "image", "text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A loaded file: `text` for text-like ones, `data` for the others."""

    name: str
    media_type: str  #: as "application/pdf"
    kind: DocumentKind
    size_bytes: int
    sha256: str
    data: bytes | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    pages: int | None = None  #: of a PDF
