"""Server-sent events and compressed bodies, read piece by piece beside the relay."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Final

#: one event larger than this is not read
MOST_EVENT_BYTES: Final = 8 * 1024 * 1024


class EventParser:
    """Cuts a stream into the data of its events, however the pieces come."""

    def __init__(self) -> None:
        self._rest = b""
        self.is_lost = False  #: an event was too large to be read

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Data of the events that are whole now."""
        text = self._rest + piece
        if b"\r" in text:
            held = text.endswith(b"\r")  # its newline may come with the next piece
            body = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *events, rest = body.split(b"\n\n")
            self._rest = rest + b"\r" if held else rest
        else:
            *events, self._rest = text.split(b"\n\n")
        if len(self._rest) > MOST_EVENT_BYTES:
            self._rest, self.is_lost = b"", True
        for event in events:
            data = data_of(event)
            if data:
                yield data

    def finish(self) -> Iterator[bytes]:
        """Data of an event that the stream ended in."""
        rest, self._rest = self._rest.rstrip(b"\r\n"), b""
        data = data_of(rest)
        if data:
            yield data


def data_of(event: bytes) -> bytes:
    """The data lines of one event, joined."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = (line for line in event.split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def decoder_for(encoding: str) -> Callable[[bytes], bytes] | None:
    """What undoes a content encoding piece by piece; None when nothing here can."""
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return bytes
    if word in ("gzip", "x-gzip"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    if word == "deflate":
        return _Deflate().decompress
    return _installed(word)


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
    """A decoder of a library that is here: brotli for `br`, zstandard for `zstd`."""
    try:
        if word == "br":
            made = import_module("brotli")
            return _tolerant(made.Decompressor().process, made.error)
        if word == "zstd":
            made = import_module("zstandard")
            unpack = made.ZstdDecompressor().decompressobj().decompress
            return _tolerant(unpack, made.ZstdError)
    except ImportError:
        return None
    return None


def _tolerant(
    decompress: Callable[[bytes], bytes], refused: type[Exception]
) -> Callable[[bytes], bytes]:
    """A decoder whose errors are ValueErrors, whichever library it is of."""

    def decode(piece: bytes) -> bytes:
        try:
            return decompress(piece)
        except refused as error:
            raise ValueError(f"the body cannot be decoded: {error}") from error

    return decode


def whole(body: bytes, encoding: str, most: int) -> bytes | None:
    """A body without its content encoding; None when it cannot be undone within `most` bytes."""
    word = encoding.strip().lower()
    if word in ("", "identity"):
        return body
    try:
        if word in ("gzip", "x-gzip"):
            made = zlib.decompressobj(16 + zlib.MAX_WBITS)
            found = made.decompress(body, most + 1)
        else:
            decode = decoder_for(word)
            found = b"" if decode is None else decode(body)
    except (zlib.error, ValueError):
        return None
    return found if found and len(found) <= most else None
