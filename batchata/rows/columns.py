"""Values of answers as columns that a table can hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any, Final

_MOST: Final = 2**63


def free_name(name: str, taken: Collection[str], prefix: str) -> str:
    """`name`, or a longer one when a column has that name already."""
    while name in taken:
        name = prefix + name
    return name


def fitting(values: Sequence[Any]) -> list[Any]:
    """The values when they are of one plain kind; else all of them but None as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds <= {str}:
        return list(values)
    if kinds <= {int} and all(_is_short(value) for value in values):
        return list(values)
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    if kinds == {list} and _are_even(values):
        return list(values)
    return [_text(value) for value in values]


def pandas_dtype(values: Sequence[Any]) -> str | None:
    """The type that keeps whole numbers and truth values where some are missing."""
    kinds = {type(value) for value in values}
    if type(None) not in kinds:
        return None if values else "object"
    kinds.discard(type(None))
    if kinds == {bool}:
        return "boolean"
    if kinds == {int} and all(_is_short(value) for value in values):
        return "Int64"
    return None if kinds else "object"


def _is_short(value: int | None) -> bool:
    return value is None or -_MOST <= value < _MOST


def _are_even(values: Sequence[Any]) -> bool:
    inner = {type(each) for value in values if value is not None for each in value}
    return len(inner) <= 1 and inner <= {str, int, float, bool}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
