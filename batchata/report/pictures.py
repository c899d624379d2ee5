"""Small greyscale pictures of PDF pages, if pypdfium2 is installed."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from batchata.report.marking import find

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

_WIDTH: Final = 720
_MARGIN: Final = 40
_GREYS: Final = bytes(level >> 4 for level in range(256))
#: left, top, width and height in thousandths of the picture
Box = tuple[int, int, int, int]


class Picture(NamedTuple):
    """A picture of a page, without the blank space at its end."""

    url: str  #: a data URL
    width: int
    height: int
    share: float  #: the share of the page's height that is shown


def has_painter() -> bool:
    """True when pages can be drawn."""
    return find_spec("pypdfium2") is not None


def draw_page(data: bytes, number: int) -> Picture | None:
    """Page `number`, counted from 1; None when it cannot be drawn."""
    with _page(data, number) as page:
        if page is None:
            return None
        bitmap = page.render(scale=_WIDTH / max(1.0, page.get_width()), grayscale=True)
        width, height, stride = bitmap.width, bitmap.height, bitmap.stride
        pixels = bytes(bitmap.buffer)
        rows = [pixels[at : at + width] for at in range(0, stride * height, stride)]
        bitmap.close()
    blank = rows[-1] if rows else b""
    shown = next((n for n in range(height, 0, -1) if rows[n - 1] != blank), height)
    shown = min(height, shown + _MARGIN)
    url = "data:image/png;base64," + base64.b64encode(_png(rows[:shown], width)).decode("ascii")
    return Picture(url, width, shown, shown / max(1, height))


def find_boxes(
    data: bytes, number: int, passages: Sequence[str], share: float = 1.0
) -> list[list[Box]]:
    """Where each passage is on a picture of the page; no boxes for those not found."""
    with _page(data, number) as page:
        if page is None or page.get_rotation():
            return [[] for _ in passages]
        reader = page.get_textpage()
        text = reader.get_text_range()
        left, bottom, right, top = page.get_cropbox()
        frame = (left, top, max(1.0, right - left), max(1.0, (top - bottom) * share))
        found = [
            [box for start, end in find(text, passage) for box in _rects(reader, start, end, frame)]
            for passage in passages
        ]
        reader.close()
    return found


def _rects(
    reader: Any, start: int, end: int, frame: tuple[float, float, float, float]
) -> Iterator[Box]:
    left, top, width, height = frame
    reader.count_rects()
    for index in range(reader.count_rects(start, end - start)):
        x0, y0, x1, y1 = reader.get_rect(index)
        yield (
            round(1000 * (x0 - left) / width),
            round(1000 * (top - y1) / height),
            round(1000 * (x1 - x0) / width),
            round(1000 * (y1 - y0) / height),
        )


@contextmanager
def _page(data: bytes, number: int) -> Iterator[PdfPage | None]:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        document = PdfDocument(data)
    except PdfiumError:
        yield None
        return
    try:
        yield document[number - 1] if 1 <= number <= len(document) else None
    finally:
        document.close()


def _png(rows: Sequence[bytes], width: int) -> bytes:
    """A PNG of 16 greys: half the size of 256, and text is as legible."""
    lines = b"".join(b"\x00" + _packed(row.translate(_GREYS)) for row in rows)
    header = struct.pack(">IIBBBBB", width, len(rows), 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (_part(b"IHDR", header), _part(b"IDAT", zlib.compress(lines, 9)), _part(b"IEND", b""))
    )


def _packed(row: bytes) -> bytes:
    """The row with two pixels per byte; all are below 16, so it can be shifted as a whole."""
    size = (len(row) + 1) // 2
    high, low = row[0::2], row[1::2].ljust(size, b"\x00")
    both = int.from_bytes(high, "big") << 4 | int.from_bytes(low, "big")
    return both.to_bytes(size, "big")


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
