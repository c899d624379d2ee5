"""A single read of a file: its size and digest, and as much of it as the checks need."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from batchata.core.errors import ValidationError

_PIECE: Final = 1 << 20
_TAIL: Final = 65_536
#: more text than the context of any model holds
MOST_TEXT: Final = 32_000_000


@dataclass(slots=True, kw_only=True)
class OpenedFile:
    """A file that was read once; `file` stays open for further look-ups."""

    name: str
    file: BinaryIO
    path: str | None  #: absolute; None for bytes in memory
    head: bytes  #: its first megabyte
    tail: bytes = b""
    sha256: str = ""
    size_bytes: int = 0
    content: bytes | None = field(default=None, repr=False)  #: all of it, if asked for


@contextmanager
def opened(source: Path | bytes, name: str) -> Iterator[OpenedFile]:
    """The open file with its first bytes read; ValidationError when that fails."""
    if isinstance(source, bytes):
        yield _started(BytesIO(source), name, None)
        return
    try:
        _check_regular(source)
        with source.open("rb") as file:
            yield _started(file, name, str(source.absolute()))
    except FileNotFoundError as error:
        raise ValidationError(
            f"file {str(source)!r:.300} does not exist",
            hint="check the path and the working directory",
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise
        raise ValidationError(
            f"file {str(source)!r:.300} cannot be read: {error}", hint="check its permissions"
        ) from error


def read_on(found: OpenedFile, *, is_text: bool) -> None:
    """Read the rest once, for size, digest and tail; keep all of text, and of bytes given to us."""
    keep = is_text or found.path is None
    hasher = hashlib.sha256(found.head)
    size, tail = len(found.head), found.head[-_TAIL:]
    pieces = [found.head]
    while piece := found.file.read(_PIECE):
        hasher.update(piece)
        size += len(piece)
        tail = (tail + piece)[-_TAIL:]
        if keep:
            pieces.append(piece)
            if is_text and size > MOST_TEXT:
                raise too_long(found.name)
    found.size_bytes, found.tail, found.sha256 = size, tail, hasher.hexdigest()
    found.content = b"".join(pieces) if keep else None


def too_long(name: str) -> ValidationError:
    """The error for a text too long for any model."""
    return ValidationError(
        f"{name!r} holds more than {MOST_TEXT:,} bytes of text, more than any model reads",
        hint="split it, one job for each part",
    )


def _started(file: BinaryIO, name: str, path: str | None) -> OpenedFile:
    head = file.read(_PIECE)
    if not head:
        raise ValidationError(f"{name!r} is empty (0 bytes)", hint="give a file with content")
    return OpenedFile(name=name, file=file, path=path, head=head)


def _check_regular(path: Path) -> None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise ValidationError(
            f"{str(path)!r} is a folder, not a file", hint="add one job for each file in it"
        )
    if not stat.S_ISREG(mode):
        raise ValidationError(
            f"{str(path)!r} is a pipe or a device, not a file", hint="save its content to a file"
        )
