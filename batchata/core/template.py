"""Prompt templates: `{column}` is replaced, `{{` and `}}` are braces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Formatter
from typing import Any

from batchata.core.errors import ValidationError


class Template:
    """A prompt with the columns it needs; ValidationError when it is not well formed."""

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str | None]] = []
        try:
            for literal, name, spec, conversion in Formatter().parse(text):
                if name is not None and (spec or conversion or not name.strip()):
                    raise ValueError(f"{{{name}}} is not a plain column name")
                self._parts.append((literal, None if name is None else name.strip()))
        except ValueError as error:
            raise ValidationError(
                f"the prompt template cannot be read: {error}",
                hint="write {column} for a value and {{ or }} for a brace",
            ) from error
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

    def fill(self, row: Mapping[str, Any]) -> str:
        """The prompt of one row."""
        said = []
        for literal, name in self._parts:
            said.append(literal)
            if name is not None:
                said.append(_text(row[name]))
        return "".join(said)


def is_missing(value: Any) -> bool:
    """True for what tables write where there is no value: None, NaN, NaT and NA."""
    if value is None:
        return True
    if isinstance(value, float):
        return value != value
    return type(value).__name__ in ("NAType", "NaTType")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
