"""Values of answers as columns that a table can hold. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 2**63
_KINDS: Final = {"string": str, "integer": int, "number": float, "boolean": bool}


def kinds_of(properties: Mapping[str, Any]) -> dict[str, type]:
    """What the fields of a JSON Schema hold, where it names one plain type for a field."""
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
    """`name`, or a longer one when a column has that name already."""
    while name in taken:
        name = prefix + name
    return name


class Fit:
    """The one plain kind of a column's values, which are seen one by one and need not be held."""

    def __init__(self) -> None:
        self._kinds: set[type] = set()
        self._inner: set[type] = set()  #: of what is in lists
        self._is_short = True

    def see(self, value: Any) -> None:
        """One more value."""
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
        """What the values are; str too where they are of several kinds, None for no value."""
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
        """What is in lists; None for nothing."""
        return next(iter(self._inner), None)

    @property
    def convert(self) -> Callable[[Any], Any]:
        """Makes a value fit; what is of another kind than the column becomes JSON text."""
        kind = self.kind
        if kind is float:
            return lambda value: None if value is None else float(value)
        return _text if kind is str else _same


def fitting(values: Sequence[Any]) -> list[Any]:
    """The values when they are of one plain kind; else all of them but None as JSON text."""
    fit = Fit()
    for value in values:
        fit.see(value)
    return list(map(fit.convert, values))


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


def _is_short(value: Any) -> bool:
    return not isinstance(value, int) or -_MOST <= value < _MOST


def _same(value: Any) -> Any:
    return value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
