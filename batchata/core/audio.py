"""Whether inline audio is as long as its size tells, by what its first bytes say."""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

#: MP3's lowest rate; no more than so many bytes need to be there for a second of sound
_LEAST_BYTES_A_SECOND: Final = 1000
_PLAIN: Final = frozenset({1, 3, 6, 7})  #: formats of WAV that keep each sample by itself
_EXTENSIBLE: Final = 0xFFFE
_MOST_CHUNKS: Final = 64


def is_as_long_as_it_is_large(base64_data: object) -> bool:
    """True for MP3, and for WAV whose samples are not packed and not further apart than MP3's."""
    if not isinstance(base64_data, str):
        return False
    head = _bytes_at(base64_data, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _is_dense(base64_data)
    start = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        start = 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[9:5:-1]))
    first = _bytes_at(base64_data, start, 2)
    return len(first) == 2 and first[0] == 0xFF and first[1] & 0xE6 == 0xE2


def heard_parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Everything that stands under `input_audio` in a request."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name == "input_audio" and isinstance(each, Mapping):
                yield each
            else:
                yield from heard_parts(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from heard_parts(each)


def _is_dense(data: str) -> bool:
    """True when a WAV says once how its samples lie, and they lie close enough."""
    place, found = 12, False
    for _ in range(_MOST_CHUNKS):
        head = _bytes_at(data, place, 34)
        kind, size = head[:4], int.from_bytes(head[4:8], "little")
        if kind == b"data":
            return found
        if kind == b"fmt ":
            if found or len(head) < 24 or not _is_dense_format(head[8:]):
                return False
            found = True
        place += 8 + size + size % 2
    return False


def _is_dense_format(said: bytes) -> bool:
    tag, channels = (int.from_bytes(said[at : at + 2], "little") for at in (0, 2))
    rate, bits = int.from_bytes(said[4:8], "little"), int.from_bytes(said[14:16], "little")
    if tag == _EXTENSIBLE:
        tag = int.from_bytes(said[24:26], "little")
    return tag in _PLAIN and rate * channels * (bits // 8) >= _LEAST_BYTES_A_SECOND


def _bytes_at(base64_data: str, start: int, count: int) -> bytes:
    """Some of the bytes; fewer at the end, and none where there is no base64."""
    first, last = start // 3 * 4, -(-(start + count) // 3) * 4
    try:
        part = binascii.a2b_base64(base64_data[first:last])
    except (binascii.Error, ValueError):
        return b""
    return part[start % 3 : start % 3 + count]
