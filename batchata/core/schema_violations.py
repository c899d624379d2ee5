"""Does a JSON value fit a JSON Schema? The part of the standard that answers of models need."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

Schema = Mapping[str, Any]
#: longer texts are not matched against patterns: a hard pattern could take for ever
MATCHED_CHARACTERS: Final = 10_000

_IS_TYPE: Final[dict[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and value == value // 1,
    "number": lambda value: _is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


_PLAIN_TYPE: Final = {"string": str, "integer": int, "number": float, "boolean": bool}
_WORDS: Final = frozenset({"type", "title", "description", "default", "examples"})


def violations(value: Any, schema: Schema, *, most: int = 3) -> list[str]:
    """The first `most` places where `value` does not fit, as "items[0].price: …"."""
    return list(islice(_check(value, schema, schema, "answer"), most))


def _check(value: Any, schema: Any, whole: Schema, path: str) -> Iterator[str]:
    if schema is False:
        yield f"{path}: not allowed"
    if not isinstance(schema, Mapping):
        return
    if "$ref" in schema:
        yield from _check(value, target(schema["$ref"], whole), whole, path)
    kind = schema.get("type")
    kinds = kind if isinstance(kind, (list, tuple)) else [kind]
    if kind is not None and not is_type(value, kinds):
        yield f"{path}: {shown(value)} is not {' or '.join(map(str, kinds))}"
        return
    yield from _check_values(value, schema, path)
    yield from _check_choices(value, schema, whole, path)
    if isinstance(value, dict):
        yield from _check_object(value, schema, whole, path)
    elif isinstance(value, list):
        yield from _check_array(value, schema, whole, path)
    elif isinstance(value, str):
        yield from _check_text(value, schema, path)
    elif _is_number(value):
        yield from _check_number(value, schema, path)


def _check_values(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if "const" in schema and not same(value, schema["const"]):
        yield f"{path}: {shown(value)} is not {shown(schema['const'])}"
    if "enum" in schema and not any(same(value, each) for each in schema["enum"]):
        yield f"{path}: {shown(value)} is none of {shown(schema['enum'])}"


def _check_choices(value: Any, schema: Schema, whole: Schema, path: str) -> Iterator[str]:
    for part in schema.get("allOf", ()):
        yield from _check(value, part, whole, path)
    choices = schema.get("anyOf") or schema.get("oneOf") or ()
    found: list[str] = []
    for choice in choices:
        wrong = next(_check(value, choice, whole, path), None)
        if wrong is None:
            return
        found.append(wrong)
    if found:
        # the choice that fits deepest tells most
        yield max(found, key=lambda each: len(each.partition(":")[0]))


def _check_object(value: dict[str, Any], schema: Schema, whole: Schema, path: str) -> Iterator[str]:
    fields = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_join(path, name)}: missing"
    more = schema.get("additionalProperties", True)
    for name, each in value.items():
        if name in fields:
            if not _plainly_fits(each, fields[name]):
                yield from _check(each, fields[name], whole, _join(path, name))
        elif more is False:
            yield f"{_join(path, name)}: no such field"
        else:
            yield from _check(each, more, whole, _join(path, name))


def _check_array(value: list[Any], schema: Schema, whole: Schema, path: str) -> Iterator[str]:
    yield from _check_size(len(value), "Items", "items", schema, path)
    items = schema.get("items", True)
    for index, each in enumerate(value):
        if not _plainly_fits(each, items):
            yield from _check(each, items, whole, f"{path}[{index}]")


def _plainly_fits(value: Any, schema: Any) -> bool:
    """True for the everyday field, a type and no more, in a tenth of the time."""
    if type(schema) is not dict or not _WORDS.issuperset(schema):
        return False
    kind = schema.get("type")
    return type(kind) is str and _PLAIN_TYPE.get(kind) is type(value)


def _check_text(value: str, schema: Schema, path: str) -> Iterator[str]:
    yield from _check_size(len(value), "Length", "characters", schema, path)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and len(value) <= MATCHED_CHARACTERS:
        try:
            if not re.search(pattern, value):
                yield f"{path}: {shown(value)} does not match {pattern!r}"
        except re.error:
            return  # another dialect's pattern: not ours to judge


def _check_number(value: float, schema: Schema, path: str) -> Iterator[str]:
    for key, holds in LIMITS.items():
        if key in schema and not holds(value, schema[key]):
            yield f"{path}: {value} breaks {key} {schema[key]}"


def _check_size(size: int, key: str, what: str, schema: Schema, path: str) -> Iterator[str]:
    if size < schema.get(f"min{key}", 0):
        yield f"{path}: {size} {what}, at least {schema[f'min{key}']}"
    if size > schema.get(f"max{key}", size):
        yield f"{path}: {size} {what}, at most {schema[f'max{key}']}"


def is_type(value: Any, kinds: Sequence[Any]) -> bool:
    """True when the value has one of these JSON types."""
    return any(_IS_TYPE[each](value) for each in kinds if each in _IS_TYPE)


def target(ref: object, whole: Schema) -> Any:
    """What a reference inside a schema leads to, None for nothing."""
    node: Any = whole
    for part in str(ref).removeprefix("#").strip("/").split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_multiple(value: float, step: float) -> bool:
    ratio = value / step
    return abs(ratio - round(ratio)) <= 1e-9 * max(1.0, abs(ratio))


LIMITS: Final[dict[str, Callable[[float, float], bool]]] = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
    "multipleOf": _is_multiple,
}


def same(left: Any, right: Any) -> bool:
    """True for equal JSON values: true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _join(path: str, name: str) -> str:
    return name if path == "answer" else f"{path}.{name}"


def shown(value: Any) -> str:
    """A value as an error message shows it: short, whatever it is."""
    if isinstance(value, dict):
        return "an object"
    text = repr(value[:60]) if isinstance(value, (str, list)) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
