"""How large a schema may be at each vendor; checked on the normalised form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from batchata.core.errors import ValidationError

_OPENAI_PROPERTIES: Final = 5_000
_OPENAI_DEPTH: Final = 10
_OPENAI_CHARACTERS: Final = 120_000
_OPENAI_ENUM_VALUES: Final = 1_000
_OPENAI_LONG_ENUM: Final = 250
_OPENAI_LONG_ENUM_CHARACTERS: Final = 15_000
_ANTHROPIC_OPTIONAL: Final = 24
_ANTHROPIC_UNIONS: Final = 16


def check_limits(schema: Mapping[str, Any], dialect: str) -> None:
    """Raise ValidationError when a normalised schema is larger than the vendor takes."""
    nodes = list(_nodes(schema))
    if dialect == "anthropic":
        _check_anthropic(nodes)
    else:
        _check_openai(schema, nodes)


def _check_anthropic(nodes: list[Mapping[str, Any]]) -> None:
    optional = sum(
        len(node["properties"]) - len(node["required"]) for node in nodes if "properties" in node
    )
    _check("optional fields", optional, _ANTHROPIC_OPTIONAL, "leave out the fields' defaults")
    unions = sum("anyOf" in node or isinstance(node.get("type"), (list, tuple)) for node in nodes)
    _check("unions", unions, _ANTHROPIC_UNIONS, "make fewer fields nullable or of several types")


def _check_openai(schema: Mapping[str, Any], nodes: list[Mapping[str, Any]]) -> None:
    names = [name for node in nodes for name in node.get("properties", ())]
    enums = [node["enum"] for node in nodes if "enum" in node]
    values = [value for enum in enums for value in enum]
    words = [*names, *schema.get("$defs", ()), *values]
    words += [node["const"] for node in nodes if "const" in node]
    _check("fields", len(names), _OPENAI_PROPERTIES, "split the answer into several jobs")
    _check("enum values", len(values), _OPENAI_ENUM_VALUES, "use plain str and list them in words")
    _check(
        "characters of names and values",
        sum(len(str(word)) for word in words),
        _OPENAI_CHARACTERS,
        "shorten them",
    )
    for enum in enums:
        if len(enum) > _OPENAI_LONG_ENUM:
            size = sum(len(str(value)) for value in enum)
            _check("characters in one enum", size, _OPENAI_LONG_ENUM_CHARACTERS, "shorten it")
    _check("levels of objects", _depth(schema, schema, ()), _OPENAI_DEPTH, "flatten the model")
    for node in nodes:
        _check_first_keys(node.get("anyOf", ()), schema)


def _check_first_keys(choices: list[Mapping[str, Any]], schema: Mapping[str, Any]) -> None:
    """Objects of a union must begin with different fields, or with one that tells them apart."""
    seen: dict[str, list[Any]] = {}
    for choice in choices:
        fields = _resolved(choice, schema).get("properties")
        if not fields:
            continue
        name, first = next(iter(fields.items()))
        tags = [first["const"]] if "const" in first else list(first.get("enum", ()))
        known = seen.get(name)
        if known is not None and (not tags or any(tag in known for tag in tags) or not known):
            raise ValidationError(
                f"two models of a union both begin with the field {name!r}",
                hint='begin each with a field that tells it apart, as kind: Literal["a"]',
            )
        seen[name] = [*(known or ()), *tags]


def _check(what: str, found: int, most: int, hint: str) -> None:
    if found > most:
        raise ValidationError(f"the schema has {found} {what}, the vendor takes {most}", hint=hint)


def _nodes(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield schema
    for each in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        yield from _nodes(each)
    for each in schema.get("$defs", {}).values():
        yield from _nodes(each)
    if "items" in schema:
        yield from _nodes(schema["items"])


def _depth(node: Mapping[str, Any], schema: Mapping[str, Any], refs: tuple[str, ...]) -> int:
    """Levels of objects below `node`; a model inside itself counts once."""
    ref = node.get("$ref")
    if ref is not None:
        return 0 if ref in refs else _depth(_resolved(node, schema), schema, (*refs, ref))
    inner = [*node.get("properties", {}).values(), *node.get("anyOf", ())]
    if "items" in node:
        inner.append(node["items"])
    deepest = max((_depth(each, schema, refs) for each in inner), default=0)
    return deepest + ("properties" in node)


def _resolved(node: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = node.get("$ref")
    if ref is None:
        return node
    if ref == "#":
        return schema
    target: Mapping[str, Any] = schema["$defs"][ref.removeprefix("#/$defs/")]
    return target
