"""Words of an enum that came in another case: some vendors do not promise the case.

Only the case changes, only where one word of the enum is meant, and no digit is touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import orjson

from batchata.core.schema_violations import target, violations

Schema = Mapping[str, Any]
Path = tuple[str | int, ...]
#: references that lead to references, one after another
_MOST_HOPS = 20


def recased(text: str, value: Any, schema: Schema) -> tuple[bytes, tuple[str, ...]] | None:
    """The answer with its enum words as the schema writes them, and what was changed.

    `value` is what `text` holds. None when nothing can be changed.
    """
    edits = dict(_edits(value, schema, schema, (), 0))
    if not edits:
        return None
    tree = json.loads(text, parse_float=orjson.Fragment, parse_int=orjson.Fragment)
    if () in edits:
        tree = edits[()]
    notes = []
    for path, word in edits.items():
        notes.append(f"{_said(path)}: {_at(value, path)!r:.80} taken as {word!r:.80}")
        if path:
            _at(tree, path[:-1])[path[-1]] = word
    return orjson.dumps(tree), tuple(notes)


def _edits(
    value: Any, schema: Any, whole: Schema, path: Path, hops: int
) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, Mapping) or hops > _MOST_HOPS:
        return
    if "$ref" in schema:
        yield from _edits(value, target(schema["$ref"], whole), whole, path, hops + 1)
    for part in schema.get("allOf", ()):
        yield from _edits(value, part, whole, path, hops + 1)
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        yield from _choice_edits(value, choices, whole, path, hops + 1)
    if isinstance(value, str):
        word = _meant(value, schema)
        if word is not None:
            yield path, word
    else:
        for name, each, inner in _parts(value, schema):
            yield from _edits(each, inner, whole, (*path, name), 0)


def _parts(value: Any, schema: Schema) -> Iterator[tuple[str | int, Any, Any]]:
    """Name, value and schema of everything inside a value."""
    if isinstance(value, dict):
        fields, more = schema.get("properties", {}), schema.get("additionalProperties")
        yield from ((name, each, fields.get(name, more)) for name, each in value.items())
    elif isinstance(value, list):
        yield from ((index, each, schema.get("items")) for index, each in enumerate(value))


def _choice_edits(
    value: Any, choices: Any, whole: Schema, path: Path, hops: int
) -> Iterator[tuple[Path, str]]:
    """The edits that make the value fit one of several schemas; none when it fits one already."""
    if any(_fits(value, choice, whole) for choice in choices):
        return
    for choice in choices:
        edits = dict(_edits(value, choice, whole, (), hops))
        if edits and _fits(_edited(value, edits), choice, whole):
            yield from (((*path, *inner), word) for inner, word in edits.items())
            return


def _fits(value: Any, schema: Any, whole: Schema) -> bool:
    return not violations(value, _beside(schema, whole), most=1)


def _beside(schema: Any, whole: Schema) -> Schema:
    """The schema as a whole one, so that its references lead where they did."""
    defs = {name: whole[name] for name in ("$defs", "definitions") if name in whole}
    return {**(schema if isinstance(schema, Mapping) else {}), **defs}


def _edited(value: Any, edits: Mapping[Path, str]) -> Any:
    if () in edits:
        return edits[()]
    copied = deepcopy(value)
    for path, word in edits.items():
        _at(copied, path[:-1])[path[-1]] = word
    return copied


def _meant(value: str, schema: Schema) -> str | None:
    options = list(schema.get("enum", ()))
    if "const" in schema:
        options.append(schema["const"])
    words = [each for each in options if isinstance(each, str)]
    if not words or value in words:
        return None
    folded = value.strip().casefold()
    found = {each for each in words if each.casefold() == folded}
    return found.pop() if len(found) == 1 else None


def _at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def _said(path: Path) -> str:
    said = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return said.removeprefix(".") or "answer"
