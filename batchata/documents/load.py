"""One file of a job, read and checked."""

from __future__ import annotations

import hashlib
from pathlib import Path

from batchata.core.document import Document, DocumentKind
from batchata.core.errors import ValidationError
from batchata.documents.kinds import PDF, decode_text, media_type
from batchata.documents.pdf import count_pages


def load(source: str | Path | bytes, name: str | None = None) -> Document:
    """Read a path, or take bytes; ValidationError, naming the file, when it cannot be sent."""
    data = source if isinstance(source, bytes) else _read(Path(source))
    if name is None:
        name = "document" if isinstance(source, bytes) else Path(source).name
    if not data:
        raise ValidationError(f"{name!r} is empty (0 bytes)", hint="give a file with content")
    found = media_type(name, data)
    kind: DocumentKind = (
        "pdf" if found == PDF else "image" if found.startswith("image/") else "text"
    )
    return Document(
        name=name,
        media_type=found,
        kind=kind,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        data=None if kind == "text" else data,
        text=decode_text(data) if kind == "text" else None,
        pages=count_pages(data, name) if kind == "pdf" else None,
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValidationError(
            f"file {str(path)!r} is not there", hint="check the path and the working directory"
        ) from error
    except IsADirectoryError as error:
        raise ValidationError(
            f"{str(path)!r} is a folder, not a file", hint="add one job for each file in it"
        ) from error
    except (OSError, ValueError) as error:
        raise ValidationError(
            f"file {str(path)!r} cannot be read: {error}", hint="check its permissions"
        ) from error
