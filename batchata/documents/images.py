"""Images: their size, whether they are complete, and shrinking large ones."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from io import BytesIO
from typing import Any, Final

from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.core.media import side_of
from batchata.documents.opened_file import OpenedFile

#: how each format ends; cameras may add bytes after it
_ENDS: Final = {
    "image/png": b"IEND",
    "image/jpeg": b"\xff\xd9",
    "image/gif": b";",
}
_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/gif": "PNG",  # its first frame
    "image/webp": "WEBP",
}
_LEAST_SIDE: Final = 64


def image_side(found: OpenedFile, media: str) -> tuple[int, int]:
    """Width and height in pixels; ValidationError for an incomplete image."""
    side = side_of(found.head)
    if side is None or not all(side):
        raise ValidationError(
            f"image {found.name!r} is damaged: it does not say how large it is",
            hint="open it in a viewer and save it again",
        )
    if media == "image/webp":
        is_whole = int.from_bytes(found.head[4:8], "little") + 8 <= found.size_bytes
    else:
        is_whole = _ENDS[media] in found.tail
    if not is_whole:
        raise ValidationError(
            f"image {found.name!r} is cut off: its end is missing",
            hint="fetch it again, or open it in a viewer and save it again",
        )
    return side


def is_large(document: Document, side: int | None, most_bytes: int | None) -> bool:
    """True for an image beyond one of these limits."""
    longest = max(document.width or 0, document.height or 0)
    return (side is not None and longest > side) or (
        most_bytes is not None and document.size_bytes > most_bytes
    )


def shrunk(document: Document, side: int | None, most_bytes: int | None) -> Document:
    """The image, shrunk to both limits and held as bytes; it keeps its format if possible."""
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError as error:
        raise ValidationError(
            f"image {document.name!r} must be made smaller, which needs Pillow",
            hint="pip install 'batchata[documents]'",
        ) from error
    source: Any = document.path if document.data is None else BytesIO(document.data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as opened:
                if side is not None and document.media_type == "image/jpeg":
                    opened.draft(None, (side, side))  # a large JPEG is never decoded at full size
                picture = ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValidationError(
            f"image {document.name!r} has {document.width} x {document.height} pixels, "
            "too many to unpack",
            hint="make it smaller with another program",
        ) from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValidationError(
            f"image {document.name!r} cannot be made smaller: {error}",
            hint="open it in a viewer and save it again",
        ) from error
    return _saved(document, picture, side, most_bytes)


def _saved(document: Document, picture: Any, side: int | None, most_bytes: int | None) -> Document:
    kind = _FORMATS[document.media_type]
    longest = min(side or max(picture.size), max(picture.size))
    while True:
        smaller = picture.copy()
        smaller.thumbnail((longest, longest))
        out = BytesIO()
        smaller.save(out, format=kind, **({} if kind == "PNG" else {"quality": 88}))
        data = out.getvalue()
        if most_bytes is None or len(data) <= most_bytes or longest <= _LEAST_SIDE:
            break
        longest = longest * 4 // 5
    width, height = smaller.size
    return replace(
        document,
        media_type=f"image/{kind.lower()}",
        data=data,
        path=None,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
    )
