"""A verbatim quote for each field, asked for in the schema: citations for every vendor.

The answer's schema becomes {"answer": …, "quotes": …}, where "quotes" has the same objects and
lists as the answer and a text in place of each value. All its properties are closed and required,
so that strict modes take it; no quote is an empty text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from pydantic import BaseModel

from batchata.core.citing.field_shape import FieldShape, shape_of
from batchata.core.citing.leaves import model_in
from batchata.core.parse import Parsed, parse_answer
from batchata.core.result import Failure
from batchata.core.schema import asked_schema
from batchata.core.schema_checker import Checker

ANSWER: Final = "answer"
QUOTES: Final = "quotes"
_ROOT: Final = "AnswerRoot"
_MOST_DEPTH: Final = 60
_TOLD: Final = (
    "for each field of the answer, at the same place: the shortest passage of the documents that "
    "states it, copied character by character; an empty text when none does"
)


def with_quotes(source: type[BaseModel] | Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an answer together with a quote for each of its fields."""
    whole = asked_schema(source)
    defs = {**(whole.get("definitions") or {}), **(whole.get("$defs") or {})}
    root = {key: each for key, each in whole.items() if key not in ("$defs", "definitions")}
    mirror = _Mirror(whole)
    quotes = mirror.node(shape_of(whole, whole))
    moved = {name: _moved(each) for name, each in defs.items()}
    answer = _moved(root)
    if "#" in _references(whole):
        moved[_ROOT], answer = answer, {"$ref": f"#/$defs/{_ROOT}"}
    found: dict[str, Any] = {
        "title": str(whole.get("title") or "Answer"),
        "type": "object",
        "properties": {ANSWER: answer, QUOTES: {**quotes, "description": _TOLD}},
        "required": [ANSWER, QUOTES],
        "additionalProperties": False,
    }
    if moved or mirror.defs:
        found["$defs"] = {**moved, **mirror.defs}
    return found


class _Mirror:
    """Schemas of quotes, of the same objects and lists as the schemas of values."""

    def __init__(self, whole: Mapping[str, Any]) -> None:
        self._whole = whole
        self._open: list[str] = []
        self._names: dict[str, str] = {}
        #: of models that contain themselves
        self.defs: dict[str, Any] = {}

    def node(self, shape: FieldShape) -> dict[str, Any]:
        """The quotes for one node."""
        key = repr(shape.choices)
        if key in self._open:
            self._names.setdefault(key, f"Quotes{len(self._names) + 1}")
            return self._reference(key, shape)
        self._open.append(key)
        found = self._made(shape)
        self._open.pop()
        if key in self._names:
            self.defs[self._names[key]] = found
            return self._reference(key, shape)
        return found

    def _reference(self, key: str, shape: FieldShape) -> dict[str, Any]:
        ref = {"$ref": f"#/$defs/{self._names[key]}"}
        return {"anyOf": [ref, {"type": "null"}]} if shape.is_nullable else ref

    def _made(self, shape: FieldShape) -> dict[str, Any]:
        item = shape.item
        if item is not None:
            return {"type": "array", "items": self.node(item)}
        fields = shape.fields
        if not fields:
            return {"type": "string"}
        return {
            "type": "object",
            "properties": {name: self.node(each) for name, each in fields.items()},
            "required": list(fields),
            "additionalProperties": False,
        }


def _references(node: Any) -> set[str]:
    """Everything a schema refers to."""
    found: set[str] = set()
    todo = [node]
    while todo:
        each = todo.pop()
        if isinstance(each, Mapping):
            if isinstance(each.get("$ref"), str):
                found.add(each["$ref"])
            todo.extend(each.values())
        elif isinstance(each, (list, tuple)):
            todo.extend(each)
    return found


def _moved(node: Any) -> Any:
    """A part of a schema with its references to the root and to `definitions` put right."""
    if isinstance(node, Mapping):
        moved = {key: _moved(each) for key, each in node.items()}
        ref = moved.get("$ref")
        if ref == "#":
            moved["$ref"] = f"#/$defs/{_ROOT}"
        elif isinstance(ref, str) and ref.startswith("#/definitions/"):
            moved["$ref"] = ref.replace("#/definitions/", "#/$defs/", 1)
        return moved
    return [_moved(each) for each in node] if isinstance(node, (list, tuple)) else node


def split_quotes(value: Any, *, model: type[BaseModel] | None = None) -> tuple[Any, dict[str, str]]:
    """The answer without its quotes, and the quotes by field path, as "items[0].price".

    With `model` the paths have the names of its fields where the answer has aliases. A value of
    another form is an answer without quotes.
    """
    if not isinstance(value, Mapping) or ANSWER not in value or not set(value) <= {ANSWER, QUOTES}:
        return value, {}
    return value[ANSWER], dict(_quotes(value.get(QUOTES), "", model, 0))


def parse_quoted(
    text: str,
    *,
    model: type[BaseModel] | None = None,
    schema: Mapping[str, Any] | Checker | None = None,
) -> tuple[Parsed | Failure, dict[str, str]]:
    """The checked answer inside `text`, which has its quotes beside it, and the quotes by path.

    An answer that came without quotes is taken as it is.
    """
    whole = parse_answer(text)
    if isinstance(whole, Failure):
        return whole, {}
    value, quotes = split_quotes(whole.value, model=model)
    if value is whole.value:
        return parse_answer(text, model=model, schema=schema), {}
    # of the text itself: a number keeps all its digits
    answer = msgspec.json.decode(whole.json, type=dict[str, msgspec.Raw])[ANSWER]
    parsed = parse_answer(bytes(answer).decode(), model=model, schema=schema)
    if isinstance(parsed, Parsed):
        repairs = (*whole.repairs, *parsed.repairs)
        return msgspec.structs.replace(parsed, repairs=repairs), quotes
    return parsed, quotes


def _quotes(node: Any, path: str, model: Any, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MOST_DEPTH:
        return
    if isinstance(node, str) and node.strip() and path:
        yield path, node
    elif isinstance(node, Mapping):
        shape = model_in(model)
        for said, each in node.items():
            name = _field_name(str(said), shape)
            inner = (
                shape.model_fields[name].annotation
                if shape and name in shape.model_fields
                else None
            )
            yield from _quotes(each, f"{path}.{name}" if path else name, inner, depth + 1)
    elif isinstance(node, (list, tuple)):
        for index, each in enumerate(node):
            yield from _quotes(each, f"{path}[{index}]", model, depth + 1)


def _field_name(said: str, shape: type[BaseModel] | None) -> str:
    if shape is None or said in shape.model_fields:
        return said
    for name, info in shape.model_fields.items():
        if said in (info.alias, info.validation_alias):
            return name
    return said
