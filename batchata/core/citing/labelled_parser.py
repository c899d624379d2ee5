"""From labelled lines back to the fields they say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel

from batchata.core.citing.blocks import CitedBlock
from batchata.core.citing.field_shape import FieldShape, shape_of
from batchata.core.citing.labelled_lines import Line, lines_of, unquoted
from batchata.core.citing.paths import Path, field_shape
from batchata.core.citing.scalars import is_nothing, value_for
from batchata.core.parse import Parsed, parse_answer
from batchata.core.result import Failure, Reason
from batchata.core.schema import source_schema

_LIST_PARTS: Final = re.compile(r"\s*[;、]\s*|,\s+")
_SHOWN: Final = 60
_LONGEST_NUMBER: Final = 40


def parse_labelled(
    answer: str | Sequence[CitedBlock], source: type[BaseModel] | Mapping[str, Any]
) -> Parsed | Failure:
    """The fields that the lines of `answer` say, checked by the model or schema `source`.

    Bullets, numbers, bold type, quotes, tables of two columns, headings with indented lines and
    several fields in a line are understood. A field said twice with two values is a Failure, and
    so is a date whose day and month could be swapped: nothing is guessed.
    """
    text = answer if isinstance(answer, str) else "".join(block.text for block in answer)
    schema = source_schema(source)
    model = source if isinstance(source, type) else None
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "```")):
        found = parse_answer(text, model=model, schema=schema)
        if isinstance(found, Parsed):
            return found
    root = shape_of(schema, schema)
    said = _Said()
    for line in lines_of(text, root):
        problem = said.take(line, root)
        if problem:
            return _failure(problem)
    if not said.any_line:
        return _failure(f"it has no labelled line; it begins {text[:_SHOWN]!r}")
    said.close()
    return parse_answer(_written(_tree(said.values)), model=model, schema=schema)


@dataclass(slots=True)
class _Said:
    """What the lines say so far."""

    values: dict[Path, Any] = field(default_factory=dict)
    #: objects of which something was said to be missing
    lacking: set[Path] = field(default_factory=set)
    any_line: bool = False

    def take(self, line: Line, root: FieldShape) -> str:
        """Put one line's value in its place; what is wrong with it, if anything is."""
        shape = field_shape(root, line.path)
        if shape is None:
            return ""
        self.any_line = True
        for path, value in self._values(line, shape, root):
            if path in self.values and self.values[path] != value:
                return f"{shown(path)} is said to be {self.values[path]!r:.40} and {value!r:.40}"
            self.values[path] = value
        return ""

    def _values(self, line: Line, shape: FieldShape, root: FieldShape) -> list[tuple[Path, Any]]:
        item = shape.item
        if item is not None:
            return _items(line, item, shape)
        if shape.is_object:
            is_null = is_nothing(line.value) and line.value and shape.is_nullable
            return [(line.path, None)] if is_null else []
        if not is_nothing(line.value):
            return [(line.path, value_for(line.value, shape))]
        if shape.is_nullable:
            self.lacking.update(_droppable(line.path, root))
            return [(line.path, None)]
        above = _droppable(line.path, root)
        self.lacking.update(above)
        is_text = "string" in shape.types and line.is_required and not above
        return [(line.path, value_for(line.value, shape))] if is_text else []

    def close(self) -> None:
        """Objects and items of which nothing was said are null, or not there."""
        for path in sorted(self.lacking, key=len, reverse=True):
            inside = [each for each in self.values if each[: len(path)] == path]
            if any(self.values[each] is not None for each in inside):
                continue
            for each in inside:
                del self.values[each]
            if isinstance(path[-1], int):
                self.values.setdefault(path[:-1], [])
            else:
                self.values[path] = None


def _droppable(path: Path, root: FieldShape) -> list[Path]:
    """The objects around a field that may be missing as a whole."""
    found = []
    for size in range(1, len(path)):
        shape = field_shape(root, path[:size])
        if shape is not None and (isinstance(path[size - 1], int) or shape.is_nullable):
            found.append(path[:size])
    return found


def _items(line: Line, item: FieldShape, shape: FieldShape) -> list[tuple[Path, Any]]:
    """A whole list in one line."""
    if is_nothing(line.value):
        return [(line.path, None if shape.is_nullable and line.value else [])]
    if item.is_object or item.item is not None:
        return []
    parts = _json_list(line.value) or [
        part for part in _LIST_PARTS.split(line.value.strip()) if part.strip()
    ]
    return [
        ((*line.path, number), value_for(unquoted(part), item)) for number, part in enumerate(parts)
    ]


def _json_list(text: str) -> list[str] | None:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [part.strip(" \"'") for part in text[1:-1].split(",")]
    return [str(each) for each in found] if isinstance(found, list) else None


def _tree(said: Mapping[Path, Any]) -> Any:
    """Nested objects and lists from values by path; lists close their gaps."""
    root: dict[str | int, Any] = {}
    for path, value in sorted(said.items(), key=lambda each: len(each[0])):
        place = root
        for part in path[:-1]:
            inner = place.get(part)
            if not isinstance(inner, dict):
                inner = place[part] = {}
            place = inner
        place[path[-1]] = value
    return _closed(root)


def _closed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    places = sorted(key for key in node if isinstance(key, int))
    if places:
        return [_closed(node[key]) for key in places]
    return {key: _closed(each) for key, each in node.items()}


def _written(node: Any) -> str:
    """JSON with numbers to the digit."""
    if isinstance(node, Decimal):
        return f"{node:f}" if abs(node.adjusted()) < _LONGEST_NUMBER else str(node)
    if isinstance(node, dict):
        inside = (f"{json.dumps(str(key))}:{_written(each)}" for key, each in node.items())
        return "{" + ",".join(inside) + "}"
    if isinstance(node, list):
        return "[" + ",".join(map(_written, node)) + "]"
    return json.dumps(node, ensure_ascii=False)


def shown(path: Path) -> str:
    """A path as people write it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


def _failure(what: str) -> Failure:
    return Failure(Reason.INVALID_ANSWER, f"the labelled answer cannot be read: {what}")
