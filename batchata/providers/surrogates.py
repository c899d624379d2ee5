"""Answers that hold half of a character, as a text cut in the middle of an emoji does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from batchata.providers.tolerant import read_tolerantly

T = TypeVar("T")

#: an escape in JSON; the group is a surrogate that stands for itself
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def decoded(
    decode: Callable[[bytes | msgspec.Raw], T],
    data: bytes | msgspec.Raw,
    kind: type[T] | None = None,
) -> T:
    """What `decode` makes of some JSON; half characters in it become U+FFFD.

    Vendors escape them, and RFC 8259 leaves open what they mean: an answer that was paid for is
    not thrown away for one; nor, with `kind`, what `decode` makes, for parts that matter to nobody.
    """
    try:
        return decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        mended, changes = _without_halves(bytes(data))
        if kind is not None:
            try:
                return read_tolerantly(kind, mended)
            except (ValueError, RecursionError):
                raise error from None
        if not changes:
            raise
    return decode(mended)


def _without_halves(data: bytes) -> tuple[bytes, int]:
    changes = 0

    def mended(found: re.Match[bytes]) -> bytes:
        nonlocal changes
        if found[1] is None:
            return found[0]
        changes += 1
        return rb"\ufffd"

    return _ESCAPE.sub(mended, data), changes
