"""What a JSON Schema says of a field: object, list or scalar, and of which types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]
_MOST_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class FieldShape:
    """One node of a schema with references and unions resolved."""

    #: every scalar, object or list schema it may be
    choices: tuple[Schema, ...]
    whole: Schema

    @property
    def fields(self) -> dict[str, FieldShape]:
        """The fields of the objects it may be."""
        return {
            name: shape_of(each, self.whole)
            for choice in reversed(self.choices)
            for name, each in _mapping(choice.get("properties")).items()
        }

    @property
    def required(self) -> frozenset[str]:
        """Fields that every object it may be must have."""
        named = [
            frozenset(each.get("required") or ()) for each in self.choices if "properties" in each
        ]
        return frozenset.intersection(*named) if named else frozenset()

    @property
    def rest(self) -> FieldShape | None:
        """What fields of any other name hold, as of `dict[str, int]`."""
        more = (each.get("additionalProperties") for each in self.choices)
        found = next((each for each in more if isinstance(each, Mapping)), None)
        return None if found is None else shape_of(found, self.whole)

    @property
    def item(self) -> FieldShape | None:
        """What it holds as a list, None when it is none."""
        for each in self.choices:
            items = each.get("items")
            if "items" in each or each.get("type") == "array":
                return shape_of(items if isinstance(items, Mapping) else {}, self.whole)
        return None

    @property
    def is_object(self) -> bool:
        """True when it has fields of its own."""
        return any(
            "properties" in each or isinstance(each.get("additionalProperties"), Mapping)
            for each in self.choices
        )

    @property
    def is_nullable(self) -> bool:
        """True when null is a value."""
        return "null" in self.types

    @property
    def types(self) -> frozenset[str]:
        """Names of JSON types, and of formats as "date"."""
        found: set[str] = set()
        for each in self.choices:
            kind = each.get("type")
            found.update(kind if isinstance(kind, (list, tuple)) else [str(kind)] if kind else [])
            if isinstance(each.get("format"), str):
                found.add(each["format"])
        return frozenset(found)

    @property
    def values(self) -> tuple[Any, ...]:
        """The only values it may have, where they are listed."""
        listed = [
            value
            for each in self.choices
            for value in (*(each.get("enum") or ()), *([each["const"]] if "const" in each else ()))
        ]
        is_all = all("enum" in each or "const" in each or _is_null(each) for each in self.choices)
        return tuple(listed) if is_all else ()

    @property
    def description(self) -> str:
        """What the schema says of it in words, on one line."""
        said = (each.get("description") for each in self.choices)
        return next((" ".join(text.split()) for text in said if isinstance(text, str)), "")


def shape_of(node: Schema, whole: Schema) -> FieldShape:
    """The shape of one node of the schema `whole`."""
    return FieldShape(tuple(_choices(node, whole, _MOST_STEPS)), whole)


def _choices(node: Schema, whole: Schema, steps: int) -> Iterator[Schema]:
    if steps == 0:
        return
    labels = {key: node[key] for key in ("description",) if key in node}
    if "$ref" in node:
        for each in _choices(_target(node["$ref"], whole), whole, steps - 1):
            yield {**each, **labels}
        return
    inner = [*(node.get("anyOf") or ()), *(node.get("oneOf") or ()), *(node.get("allOf") or ())]
    for each in inner:
        if isinstance(each, Mapping):
            for choice in _choices(each, whole, steps - 1):
                yield {**choice, **labels}
    if not inner:
        yield node


def _target(ref: object, whole: Schema) -> Schema:
    node: Any = whole
    for part in str(ref).removeprefix("#").strip("/").split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        if part:
            node = node.get(part) if isinstance(node, Mapping) else None
    return _mapping(node)


def _mapping(node: Any) -> Schema:
    return node if isinstance(node, Mapping) else {}


def _is_null(node: Schema) -> bool:
    return node.get("type") == "null"
