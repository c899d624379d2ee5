"""Server-sent events and compressed bodies, read piece by piece beside the relay."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

#: one event larger than this is not read
MOST_EVENT_BYTES: Final = 8 * 1024 * 1024
#: content encodings that need a library
PACKED: Final = ("br", "zstd")
#: looked for as numbers: bytes in bytes take ten times as long
_LF, _CR = b"\n\r"
#: what a stream may begin with: a byte order mark
_MARK: Final = b"\xef\xbb\xbf"
#: encoded bytes that are decoded at once
_BIT: Final = 1024
#: the most that so few may decode to in brotli, where there is no limit otherwise
_MOST_OF_A_BIT: Final = 16 * 1024 * 1024


class EventParser:
    """Cuts a stream into the data of its events, however the pieces come."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self.is_lost = False  #: an event was too large to read

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Data of the events that this piece completes."""
        self._rest.append(piece)
        self._size += len(piece)
        if _LF not in piece and _CR not in piece:  # a part of a long line
            self._keep_within()
            return
        text = b"".join(self._rest)
        if _CR in text:
            held = text.endswith(b"\r")  # its newline may come with the next piece
            body = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *events, rest = body.split(b"\n\n")
            rest = rest + b"\r" if held else rest
        else:
            *events, rest = text.split(b"\n\n")
        self._rest, self._size = [rest], len(rest)
        self._keep_within()
        for event in events:
            data = data_of(event)
            if data:
                yield data

    def finish(self) -> Iterator[bytes]:
        """Data of the event in which the stream ended."""
        yield from self.feed(b"\n\n")

    def _keep_within(self) -> None:
        if self._size > MOST_EVENT_BYTES:
            self._rest, self._size, self.is_lost = [], 0, True


def data_of(event: bytes) -> bytes:
    """The data lines of one event, joined."""
    if event.startswith(b"data: ") and _LF not in event:
        return event[6:]
    lines = event.removeprefix(_MARK).split(b"\n")
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    return b"\n".join(data)


def decoder_for(encoding: str) -> Callable[[bytes], bytes] | None:
    """A decoder for pieces in a content encoding; None when there is none here."""
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return bytes
    if word in ("gzip", "x-gzip"):
        return _Gzip().decompress
    if word == "deflate":
        return _Deflate().decompress
    return _installed(word)


class _Gzip:
    """Gzip of any number of members: some servers compress each flush separately."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._is_between = False  #: members, where some senders pad with zeros

    def decompress(self, piece: bytes) -> bytes:
        text = b""
        while piece := piece.lstrip(b"\0") if self._is_between else piece:
            text += self._member.decompress(piece)
            piece = self._member.unused_data
            self._is_between = self._member.eof
            if self._is_between:
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        return text


class _Deflate:
    """Deflate with or without zlib's header: senders do not agree which it is."""

    def __init__(self) -> None:
        self._decompress: Callable[[bytes], bytes] | None = None

    def decompress(self, piece: bytes) -> bytes:
        if self._decompress is None and piece:
            has_header = piece[0] & 0x0F == 8
            self._decompress = zlib.decompressobj(15 if has_header else -15).decompress
        return self._decompress(piece) if self._decompress else b""


def _installed(word: str) -> Callable[[bytes], bytes] | None:
    """A decoder of an installed library: brotli for `br`, zstandard for `zstd`."""
    try:
        if word == "br":
            return _brotli(import_module("brotli"))
        if word == "zstd":
            made = import_module("zstandard")
            unpack = made.ZstdDecompressor().decompressobj(read_across_frames=True).decompress
            return _tolerant(unpack, made.ZstdError)
    except ImportError:
        return None
    return None


def _brotli(made: Any) -> Callable[[bytes], bytes] | None:
    """A decoder that stays within bounds; None for a brotli before 1.2, which cannot."""
    found = made.Decompressor()
    if not hasattr(found, "can_accept_more_data"):
        return None

    def decompress(piece: bytes) -> bytes:
        text: bytes = found.process(piece, output_buffer_limit=_MOST_OF_A_BIT)
        if not found.can_accept_more_data():
            raise ValueError(f"{len(piece)} bytes of the body decode to more than {len(text)}")
        return text

    return _tolerant(decompress, made.error)


def _tolerant(
    decompress: Callable[[bytes], bytes], refused: type[Exception]
) -> Callable[[bytes], bytes]:
    """A decoder whose errors are ValueErrors, whatever its library."""

    def decode(piece: bytes) -> bytes:
        try:
            return decompress(piece)
        except refused as error:
            raise ValueError(f"the body cannot be decoded: {error}") from error

    return decode


def undone(decode: Callable[[bytes], bytes], data: bytes, most: int) -> bytes:
    """Data without its content encoding; ValueError if it cannot be decoded to `most` bytes.

    It is decoded in small pieces: a few bytes may become a thousand times as many.
    """
    found: list[bytes] = []
    size = 0
    for start in range(0, len(data), _BIT):
        try:
            found.append(decode(data[start : start + _BIT]))
        except zlib.error as error:
            raise ValueError(f"the body cannot be decoded: {error}") from error
        size += len(found[-1])
        if size > most:
            raise ValueError(f"the body has more than {most} bytes")
    return b"".join(found)


def whole(body: bytes, encoding: str, most: int) -> bytes | None:
    """A body without its content encoding; None if it cannot be decoded to `most` bytes."""
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return body
    decode = decoder_for(word)
    try:
        return undone(decode, body, most) or None if decode is not None else None
    except ValueError:
        return None
