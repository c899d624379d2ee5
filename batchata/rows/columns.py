"""Fits the values of answers into columns of a table. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 2**63
_KINDS: Final = {"string": str, "integer": int, "number": float, "boolean": bool}


def kinds_of(properties: Mapping[str, Any]) -> dict[str, type]:
    """The types of a JSON Schema's fields, for fields with a single plain type."""
    named = {name: _types(schema) - {"null"} for name, schema in properties.items()}
    return {
        name: _KINDS[next(iter(types))]
        for name, types in named.items()
        if len(types) == 1 and types <= _KINDS.keys()
    }


def _types(schema: Any) -> set[str]:
    if not isinstance(schema, Mapping):
        return set()
    said = schema.get("type", [])
    own = {said} if isinstance(said, str) else set(said)
    return own.union(*(_types(each) for each in schema.get("anyOf", ())))


def free_name(name: str, taken: Collection[str], prefix: str) -> str:
    """`name`, or a longer one when a column already has that name."""
    while name in taken:
        name = prefix + name
    return name


class Fit:
    """The single plain type that fits a column's values, seen one by one without keeping them."""

    def __init__(self) -> None:
        self._kinds: set[type] = set()
        self._inner: set[type] = set()  #: of items of lists
        self._is_short = True

    def see(self, value: Any) -> None:
        """Take one more value into account."""
        if value is None:
            return
        self._kinds.add(type(value))
        if isinstance(value, list):
            self._inner.update(map(type, value))
            self._is_short = self._is_short and all(map(_is_short, value))
        else:
            self._is_short = self._is_short and _is_short(value)

    @property
    def kind(self) -> type | None:
        """The type of the values; str if they differ, None without values."""
        kinds = self._kinds
        if not kinds or kinds == {bool} or (kinds == {int} and self._is_short):
            return next(iter(kinds), None)
        if kinds <= {int, float}:
            return float
        if kinds == {list} and len(self._inner) <= 1 and self._inner <= {str, int, float, bool}:
            return list if self._is_short else str
        return str

    @property
    def inner(self) -> type | None:
        """The type of items in lists; None without any."""
        return next(iter(self._inner), None)

    @property
    def convert(self) -> Callable[[Any], Any]:
        """A function that makes values fit; those of another type than the column become JSON."""
        kind = self.kind
        if kind is float:
            return lambda value: None if value is None else float(value)
        return _text if kind is str else _same


def fitting(values: Sequence[Any]) -> list[Any]:
    """The values if they are of one plain type; else all but None as JSON text."""
    fit = Fit()
    for value in values:
        fit.see(value)
    return list(map(fit.convert, values))


def pandas_dtype(values: Sequence[Any]) -> str | None:
    """The dtype that keeps integers and booleans as such when some are missing."""
    kinds = {type(value) for value in values}
    if type(None) not in kinds:
        return None if values else "object"
    kinds.discard(type(None))
    if kinds == {bool}:
        return "boolean"
    if kinds == {int} and all(_is_short(value) for value in values):
        return "Int64"
    return None if kinds else "object"


def _is_short(value: Any) -> bool:
    return not isinstance(value, int) or -_MOST <= value < _MOST


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
