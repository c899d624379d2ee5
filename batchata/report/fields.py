"""A structured answer as a flat table: one row per value, named by its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson

from batchata.core.model_code import plain

MOST_FIELDS: Final = 1_000
MOST_CHARACTERS: Final = 5_000
_NUMBER, _TEXT, _NOTHING = "number", "text", "none"


class Field(NamedTuple):
    """One value of an answer, as shown to people."""

    path: str  #: such as "items[0].price"
    text: str
    kind: str  #: "text", "number" or "none"


def flatten(value: Any) -> tuple[list[Field], int]:
    """The values inside, and how many were left out beyond the limit."""
    value = plain(value)
    found: list[Field] = []
    left_out = 0
    for field in _walk(value):
        if len(found) < MOST_FIELDS:
            found.append(field)
        else:
            left_out += 1
    return found, left_out


def parents(path: str) -> Iterator[str]:
    """Paths of everything that contains a value, nearest first: a[0].b → a[0], a."""
    while (cut := max(path.rfind("."), path.rfind("["))) > 0:
        path = path[:cut]
        yield path


def clip(text: str, most: int = MOST_CHARACTERS) -> str:
    """`text`, or its beginning with a note of what is missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters)"


def _walk(root: Any) -> Iterator[Field]:
    # an explicit stack: an answer may be nested deeper than Python can recurse
    stack: list[tuple[str, Any]] = [("", root)]
    while stack:
        path, value = stack.pop()
        inner = list(_children(path, value))
        if inner:
            stack.extend(reversed(inner))
        elif path or not isinstance(value, (Mapping, list)):
            yield _field(path or "value", value)


def _children(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}.{name}" if path else str(name), inner
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield f"{path}[{index}]", inner


def _field(path: str, value: Any) -> Field:
    if value is None:
        return Field(path, "null", _NOTHING)
    if isinstance(value, str):
        return Field(path, clip(value), _TEXT) if value else Field(path, "empty", _NOTHING)
    if isinstance(value, (Mapping, list, tuple)):
        return Field(path, "empty", _NOTHING)
    if isinstance(value, bool):
        return Field(path, "true" if value else "false", _TEXT)
    if isinstance(value, (int, float)):
        # repr: a browser's own numbers would lose digits
        return Field(path, repr(value), _NUMBER)
    return Field(path, clip(orjson.dumps(value, default=str).decode()), _TEXT)
