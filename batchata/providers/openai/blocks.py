"""Documents as OpenAI takes them, and its limits on them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from batchata.core.document import DOCX, PPTX, XLSX, Accepts, Document
from batchata.core.errors import ValidationError
from batchata.providers.encoding import data_url, labelled

#: source: File inputs, and Images and vision guides
FILE_BYTES: Final = 50 * (1 << 20)
SHEET_ROWS: Final = 1_000
MOST_IMAGES: Final = 1_500
IMAGES_BYTES: Final = 512 * (1 << 20)
ACCEPTS: Final = Accepts(
    office=frozenset({DOCX, XLSX, PPTX}), sheet_rows=SHEET_ROWS, image_bytes=FILE_BYTES
)
#: servers that take images, and no other files
IMAGES_ONLY: Final = Accepts(sheet_rows=SHEET_ROWS, image_bytes=FILE_BYTES)


def check_images_only(documents: Sequence[Document], title: str) -> None:
    """Raise ValidationError for a document that only OpenAI's own servers read."""
    for document in documents:
        if document.kind not in ("text", "image"):
            raise ValidationError(
                f"{title} takes no PDF: {document.name!r} cannot be sent",
                hint="send its text, or its pages as images",
            )


def chat_parts(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The documents as parts of a chat message; ValidationError for what would be refused."""
    if not documents:
        return []
    _check_all(documents)
    return [_chat_part(document) for document in documents]


def response_parts(documents: Sequence[Document]) -> list[dict[str, Any]]:
    """The documents as parts of a response's input; ValidationError for what would be refused."""
    _check_all(documents)
    return [_response_part(document) for document in documents]


def _chat_part(document: Document) -> dict[str, Any]:
    if document.kind == "text":
        return {"type": "text", "text": labelled(document)}
    if document.kind == "image":
        if document.file_id is not None:
            raise _responses_only(document, "an image by its id")
        return {"type": "image_url", "image_url": {"url": document.url or data_url(document)}}
    if document.url is not None:
        raise _responses_only(document, "a file by its address")
    if document.file_id is not None:
        return {"type": "file", "file": {"file_id": document.file_id}}
    return {
        "type": "file",
        "file": {"filename": document.name, "file_data": data_url(document)},
    }


def _response_part(document: Document) -> dict[str, Any]:
    if document.kind == "text":
        return {"type": "input_text", "text": labelled(document)}
    if document.kind == "image":
        if document.file_id is not None:
            return {"type": "input_image", "file_id": document.file_id, "detail": "auto"}
        url = document.url or data_url(document)
        return {"type": "input_image", "image_url": url, "detail": "auto"}
    if document.file_id is not None:
        return {"type": "input_file", "file_id": document.file_id}
    if document.url is not None:
        return {"type": "input_file", "file_url": document.url}
    return {"type": "input_file", "filename": document.name, "file_data": data_url(document)}


def _responses_only(document: Document, what: str) -> ValidationError:
    return ValidationError(
        f"{document.name!r}: chat completions do not take {what}, responses do",
        hint='write endpoint="responses"',
    )


def _check_all(documents: Sequence[Document]) -> None:
    images = [document for document in documents if document.kind == "image"]
    files = [document for document in documents if document.kind in ("pdf", "office")]
    if len(images) > MOST_IMAGES:
        raise ValidationError(
            f"the job has {len(images)} images, OpenAI takes {MOST_IMAGES} in one request",
            hint="split it into several jobs",
        )
    for document in images:
        if document.size_bytes >= FILE_BYTES:
            raise _too_large(document, "write downscale_images=True, or make it smaller")
    for document in files:
        if document.size_bytes >= FILE_BYTES:
            raise _too_large(document, "split it, one job for each part")
    _check_sum(files, FILE_BYTES)
    _check_sum(images, IMAGES_BYTES)


def _too_large(document: Document, hint: str) -> ValidationError:
    return ValidationError(
        f"{document.name!r} has {document.size_bytes:,} bytes, OpenAI takes less than "
        f"{FILE_BYTES:,} in one file",
        hint=hint,
    )


def _check_sum(documents: Sequence[Document], most: int) -> None:
    total = sum(document.size_bytes for document in documents)
    if total > most:
        largest = max(documents, key=lambda document: document.size_bytes)
        raise ValidationError(
            f"the job's files have {total:,} bytes together, OpenAI takes {most:,} in one "
            f"request; the largest is {largest.name!r}",
            hint="split it into several jobs",
        )
