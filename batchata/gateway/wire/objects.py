"""Changes JSON objects in a few places; everything else stays as it was written."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
import orjson

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def with_fields(text: bytes, values: Mapping[str, Any]) -> bytes:
    """The object with these fields at its end, replacing any of the same names."""
    return msgspec.json.encode({**_others(text, values), **values})


def without_fields(text: bytes, names: Collection[str]) -> bytes:
    """The object without these fields."""
    return msgspec.json.encode(_others(text, names))


def with_texts(text: bytes, change: Callable[[str], str]) -> bytes:
    """The JSON with every text in it changed, including field names."""

    def changed(found: re.Match[bytes]) -> bytes:
        written: str = orjson.loads(found.group())
        said = change(written)
        return found.group() if said == written else orjson.dumps(said)

    return _TEXT.sub(changed, text)


def _others(text: bytes, names: Collection[str]) -> dict[str, msgspec.Raw]:
    return {name: raw for name, raw in _fields(text).items() if name not in names}
