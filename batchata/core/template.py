"""Prompt templates: `{column}` is replaced, `{{` and `}}` are braces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from batchata.core.errors import ValidationError

#: a doubled brace, the name of a column, a brace that belongs to nothing, or text
_TOKEN: Final = re.compile(r"(\{\{|\}\})|\{([^{}]*)\}|([{}])|([^{}]+)")


class Template:
    """A prompt with the columns it needs; ValidationError when it is not well formed.

    Whatever stands between two braces is the name of a column, also with `:` or `!` in it.
    """

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str | None]] = []
        for braces, name, stray, literal in map(re.Match.groups, _TOKEN.finditer(text)):
            if stray is not None:
                raise _unreadable(f"a single {stray} in it belongs to no column")
            if name is None:
                self._parts.append((literal or braces[0], None))
            elif name.strip():
                self._parts.append(("", name.strip()))
            else:
                raise _unreadable(f"{{{name}}} names no column")
        self.columns = tuple(dict.fromkeys(name for _, name in self._parts if name is not None))

    def check(self, known: Mapping[str, Any], where: str) -> None:
        """Raise ValidationError when a column is missing in a row."""
        for name in self.columns:
            if name not in known:
                columns = ", ".join(map(str, known)) or "none"
                raise ValidationError(
                    f"{where} has no column {name!r}, which the prompt needs",
                    hint=f"its columns are: {columns}; write {{{{{name}}}}} for literal braces",
                )

    def why_unfilled(self, row: Mapping[str, Any]) -> str | None:
        """Why there is no prompt of a row, as "has no value ..."; None where there is one."""
        for name in self.columns:
            if is_missing(row[name]):
                return f"has no value in column {name!r}, which the prompt needs"
            if is_binary(row[name]):
                return f"has bytes in column {name!r}, not text: decode them first"
        return None

    def fill(self, row: Mapping[str, Any]) -> str:
        """The prompt of one row."""
        said = []
        for literal, name in self._parts:
            said.append(literal)
            if name is not None:
                said.append(text_of(row[name]))
        return "".join(said)


def _unreadable(why: str) -> ValidationError:
    return ValidationError(
        f"the prompt template cannot be read: {why}",
        hint="write {column} for a value and {{ or }} for a brace",
    )


#: of numpy; no floats of Python's, though they have the same NaN and NaT
_SCALARS: Final = ("float16", "float32", "longdouble", "datetime64", "timedelta64")


def is_missing(value: Any) -> bool:
    """True for what tables write where there is no value: None, NaN, NaT and NA."""
    if value is None:
        return True
    if isinstance(value, (str, float)):
        return value != value
    if isinstance(value, Decimal):
        return value.is_nan()
    name = type(value).__name__
    return name in ("NAType", "NaTType") or (name in _SCALARS and bool(value != value))


def is_binary(value: Any) -> bool:
    """True for bytes, of which nobody can tell what text they are."""
    return isinstance(value, (bytes, bytearray, memoryview))


def text_of(value: Any) -> str:
    """A cell as it stands in a prompt: lists, mappings and arrays as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if getattr(value, "ndim", 0):  # else a long array would be said with dots in its middle
        value = value.tolist()
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
