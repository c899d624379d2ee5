"""Tokens that images and documents can cost at most, by each vendor's own formula."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from math import ceil
from typing import Final

#: the widest context of any model: a longer request is refused, and what is refused is not billed
WIDEST_CONTEXT: Final = {"openai": 1_050_000, "anthropic": 1_000_000}
_ANY_CONTEXT: Final = 2_000_000

_ANTHROPIC_IMAGE: Final = 4_784
_DEAREST_PATCH: Final = 2.46  #: multiplier of the nano models
_FITTED_PATCHES: Final = 10_000  #: most patches of a model that shrinks images
#: a picture of 40 megapixels at the dearest multiplier, of 100 at the usual one
_UNSEEN_IMAGE: Final = 100_000
_TILES_4O_MINI: Final = 2_833 + 8 * 5_667
_TILES: Final = 85 + 8 * 170
#: more than fits on a printed page, for documents whose text was not read
_PAGE_BYTES: Final = 20_000
_PAGE_TOKENS: Final = 3_000
#: pictures in a JPEG's own notes come before its size
_JPEG_HEAD: Final = 786_432


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentSize:
    """What is known of a document beforehand; `text_bytes` is its text layer in UTF-8."""

    pages: int | None = None  #: of a PDF
    text_bytes: int | None = None
    side: tuple[int, int] | None = None  #: width and height of an image

    def with_other(self, other: DocumentSize) -> DocumentSize:
        """The larger of two, for documents that a request does not tell apart."""
        known = None
        if self.side is not None and other.side is not None:
            known = (max(self.side[0], other.side[0]), max(self.side[1], other.side[1]))
        return DocumentSize(
            pages=_larger(self.pages, other.pages),
            text_bytes=_larger(self.text_bytes, other.text_bytes),
            side=known,
        )


def _larger(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def context_bound(provider: str) -> int:
    """The most input tokens that one request can have, whatever it refers to."""
    return WIDEST_CONTEXT.get(provider, _ANY_CONTEXT)


def image_bound(
    provider: str, model: str = "", *, size: tuple[int, int] | None = None, detail: str = ""
) -> int:
    """The most tokens of one image, of any size unless width and height are given."""
    if provider == "anthropic":
        return _ANTHROPIC_IMAGE
    if "4o-mini" in model:
        return _TILES_4O_MINI
    fitted = ceil(_FITTED_PATCHES * _DEAREST_PATCH)
    if size is None:
        seen = _UNSEEN_IMAGE
    else:
        seen = ceil(ceil(size[0] / 32) * ceil(size[1] / 32) * _DEAREST_PATCH)
    # "original" and "auto" are not shrunk by the newest models
    return max(_TILES, min(seen, fitted) if detail in ("low", "high") else seen)


def pdf_bound(provider: str, model: str = "", *, size: DocumentSize | None = None) -> int:
    """The most tokens of one PDF: every page is read as text and as an image."""
    if size is None or size.pages is None:
        return context_bound(provider)
    page = image_bound(provider, model, detail="high")
    text = size.pages * _PAGE_BYTES
    if size.text_bytes is not None:
        # another reader than ours may find more in the same file
        text = max(2 * size.text_bytes, size.pages * _PAGE_TOKENS)
    return min(size.pages * page + text, context_bound(provider))


def text_file_bound(provider: str, *, size: DocumentSize | None) -> int:
    """The most tokens of a file that the vendor turns into text."""
    if size is None or size.text_bytes is None:
        return context_bound(provider)
    return min(2 * size.text_bytes + _PAGE_TOKENS, context_bound(provider))


def image_size(base64_data: str) -> tuple[int, int] | None:
    """Width and height of an inline image from its first bytes, None when they do not tell."""
    try:
        head = binascii.a2b_base64(base64_data[:64])
        if head.startswith(b"\xff\xd8"):
            most = min(len(base64_data), _JPEG_HEAD * 4 // 3)
            head = binascii.a2b_base64(base64_data[: most // 4 * 4])
    except (binascii.Error, ValueError):
        return None
    return side_of(head)


def side_of(head: bytes) -> tuple[int, int] | None:
    """Width and height of an image by its first bytes, None when they do not tell."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"\xff\xd8"):
        return _jpeg_side(head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_side(head)
    return None


def _webp_side(head: bytes) -> tuple[int, int] | None:
    if head[12:16] == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if head[12:16] == b"VP8 ":
        size = int.from_bytes(head[26:30], "little")
        return size & 0x3FFF, size >> 16 & 0x3FFF
    return None


def _jpeg_side(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = head[at + 5 : at + 7], head[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None
