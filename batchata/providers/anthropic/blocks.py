"""Documents as Anthropic takes them, and its limits on them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from batchata.core.document import Accepts, Document
from batchata.core.errors import ValidationError
from batchata.providers.encoding import base64_text

_MIB: Final = 1 << 20
#: source: PDF support, Vision and Files API guides
IMAGE_BASE64_BYTES: Final = 10 * _MIB
IMAGE_SIDE: Final = 8_000
MANY_IMAGES: Final = 20
MANY_SIDE: Final = 2_000
FILE_BYTES: Final = 500_000_000
#: a live request with all that is inline in it
REQUEST_BYTES: Final = 32_000_000
ACCEPTS: Final = Accepts(
    image_bytes=IMAGE_BASE64_BYTES // 4 * 3,
    image_side=IMAGE_SIDE,
    many_images=MANY_IMAGES,
    many_side=MANY_SIDE,
)
#: models whose context is 200,000 tokens: they take fewer pages and images
_SMALL_CONTEXT: Final = re.compile(
    r"claude-(?:[23]\b|3-|instant|haiku-4|(?:opus|sonnet)-4(?:-[0-5])?(?:-\d{8})?\Z)"
)
_MOST: Final = 600
_MOST_SMALL: Final = 100


def content_blocks(
    documents: Sequence[Document], model: str, *, citations: bool
) -> list[dict[str, Any]]:
    """The documents as blocks; ValidationError, naming one, for what the vendor would refuse."""
    _check_counts(documents, model)
    images = sum(document.kind == "image" for document in documents)
    side = ACCEPTS.side(images) or IMAGE_SIDE
    for document in documents:
        _check(document, side, images)
    return [_block(document, citations=citations) for document in documents]


def _block(document: Document, *, citations: bool) -> dict[str, Any]:
    if document.kind == "image":
        return {"type": "image", "source": _source(document)}
    block = {"type": "document", "source": _source(document), "title": document.name}
    if citations:
        block["citations"] = {"enabled": True}
    return block


def _source(document: Document) -> dict[str, Any]:
    if document.file_id is not None:
        return {"type": "file", "file_id": document.file_id}
    if document.url is not None:
        return {"type": "url", "url": document.url}
    if document.kind == "text":
        return {"type": "text", "media_type": "text/plain", "data": document.text}
    return {"type": "base64", "media_type": document.media_type, "data": base64_text(document)}


def _check_counts(documents: Sequence[Document], model: str) -> None:
    most = _MOST_SMALL if _SMALL_CONTEXT.match(model) else _MOST
    pages = sum(document.pages or 0 for document in documents)
    if pages > most:
        largest = max(documents, key=lambda document: document.pages or 0)
        raise ValidationError(
            f"PDF {largest.name!r} has {largest.pages} pages ({pages} in this job), and "
            f"{model!r} takes {most} pages in one request",
            hint="split the PDF, one job for each part"
            + ("" if most == _MOST else ", or use a model with a larger context"),
        )
    images = sum(document.kind == "image" for document in documents)
    if images > most:
        raise ValidationError(
            f"the job has {images} images, and {model!r} takes {most} in one request",
            hint="split it into several jobs",
        )


def _check(document: Document, side: int, images: int) -> None:
    name = document.name
    if document.kind == "office":
        raise ValidationError(
            f"{name!r} is an Office file, which Anthropic does not take",
            hint="give the file itself, not its address or id: its text is then sent",
        )
    if document.size_bytes > FILE_BYTES:
        raise ValidationError(
            f"{name!r} has {document.size_bytes:,} bytes, Anthropic takes {FILE_BYTES:,}",
            hint="split it, one job for each part",
        )
    if document.kind != "image":
        return
    size = -(-document.size_bytes // 3) * 4
    if size > IMAGE_BASE64_BYTES:
        raise ValidationError(
            f"image {name!r} has {size:,} bytes in base64, Anthropic takes {IMAGE_BASE64_BYTES:,}",
            hint="write downscale_images=True, or make it smaller",
        )
    width, height = document.width or 0, document.height or 0
    if max(width, height) > side:
        many = f" when a request has more than {MANY_IMAGES} images" if images > MANY_IMAGES else ""
        raise ValidationError(
            f"image {name!r} is {width} x {height} pixels, Anthropic takes {side} x {side}{many}",
            hint="write downscale_images=True, or make it smaller",
        )
