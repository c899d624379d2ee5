"""Puts files into requests piece by piece, so that no file is ever held in memory."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final

from batchata.core.document import Attachment
from batchata.core.upload import inline_bytes
from batchata.documents.checked import CheckedFile

_PIECE: Final = 48 * 1024


def spliced(
    body: bytes, attachments: Sequence[Attachment], piece_bytes: int = _PIECE
) -> Iterator[bytes]:
    """`body` with every marker replaced by its file as base64.

    Raises ValidationError, naming the file, if it vanished or changed since it was checked; what
    came before must then not be used.
    """
    step = max(3, piece_bytes - piece_bytes % 3)
    rest = 0
    for at, marker, attachment in _places(body, attachments):
        yield body[rest:at]
        yield from _encoded(attachment, step)
        rest = at + len(marker)
    yield body[rest:]


def spliced_size(body: bytes, attachments: Sequence[Attachment]) -> int:
    """Size of the body with all its files in it; opens no file."""
    size = len(body)
    for _, marker, attachment in _places(body, attachments):
        size += inline_bytes(attachment) - len(marker)
    return size


def _places(body: bytes, attachments: Sequence[Attachment]) -> list[tuple[int, bytes, Attachment]]:
    found = []
    for attachment in {each.sha256: each for each in attachments}.values():
        marker = attachment.marker.encode()
        at = body.find(marker)
        while at >= 0:
            found.append((at, marker, attachment))
            at = body.find(marker, at + len(marker))
    return sorted(found, key=lambda place: place[0])


def _encoded(attachment: Attachment, step: int) -> Iterator[bytes]:
    with CheckedFile(attachment) as file:
        while piece := file.read(step):
            yield b64encode(piece)
