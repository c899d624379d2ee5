"""The vendors' rules for the JSON schemas of structured output."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import orjson

OPENAI_REFUSED: Final = (
    "allOf", "not", "dependentRequired", "dependentSchemas",
    "if", "then", "else", "patternProperties", "default", "oneOf",
)  # fmt: skip
ANTHROPIC_REFUSED: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "maxItems", "uniqueItems",
    "not", "if", "then", "else", "patternProperties", "oneOf",
)  # fmt: skip
MAX_DEPTH: Final = 10
MAX_PROPERTIES: Final = 5_000
Path = tuple[str, ...]


@lru_cache(maxsize=512)
def openai_fault(schema: bytes) -> str | None:
    """Say what OpenAI's strict mode refuses in a schema, or None."""
    return _openai_root(orjson.loads(schema))


@lru_cache(maxsize=512)
def anthropic_fault(schema: bytes) -> str | None:
    """Say what Anthropic refuses in an output schema, or None."""
    return _anthropic_root(orjson.loads(schema))


def _openai_root(root: Any) -> str | None:
    if not isinstance(root, dict) or root.get("type") != "object" or "anyOf" in root:
        kind = root.get("type") if isinstance(root, dict) else root
        shown = "None" if kind is None else kind
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{shown}\"'."
    total = 0
    for path, part in _walk(root, ()):
        if message := _openai_part(part):
            return f"In context={path}, {message}"
        if sum(step == "properties" for step in path) > MAX_DEPTH:
            return f"In context={path}, the schema is nested more than {MAX_DEPTH} levels deep."
        total += len(part.get("properties", ()))
    if total > MAX_PROPERTIES:
        return f"the schema has {total} properties, the limit is {MAX_PROPERTIES}."
    return None


def _anthropic_root(root: Any) -> str | None:
    if not isinstance(root, dict):
        return "schema must be an object"
    for path, part in _walk(root, ()):
        if message := _anthropic_part(part):
            return f"{'.'.join(path)}: {message}" if path else message
    if _is_recursive(root):
        return "Recursive schemas are not supported"
    return None


def _openai_part(part: Mapping[str, Any]) -> str | None:
    for word in OPENAI_REFUSED:
        if word in part:
            return f"'{word}' is not permitted."
    if not _is_object(part):
        return None
    if part.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    names, required = list(part.get("properties", {})), part.get("required", [])
    missing = [name for name in names if name not in required]
    if missing:
        return (
            "'required' is required to be supplied and to be an array including every key in "
            f"properties. Missing '{missing[0]}'."
        )
    extra = [name for name in required if name not in names]
    return f"Extra required key '{extra[0]}' supplied." if extra else None


def _anthropic_part(part: Mapping[str, Any]) -> str | None:
    for word in ANTHROPIC_REFUSED:
        if word in part:
            return f"property '{word}' is not supported"
    if part.get("minItems", 0) not in (0, 1):
        return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    if _is_object(part) and part.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    return None


def _is_object(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _walk(schema: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key in ("properties", "$defs", "definitions"):
        parts = schema.get(key, {})
        for name, part in parts.items() if isinstance(parts, dict) else ():
            yield from _walk(part, (*path, key, name))
    for key in ("items", "additionalProperties"):
        yield from _walk(schema.get(key), (*path, key))
    for key in ("anyOf", "prefixItems"):
        options = schema.get(key, ())
        for index, part in enumerate(options if isinstance(options, list) else ()):
            yield from _walk(part, (*path, key, str(index)))


def _is_recursive(root: dict[str, Any]) -> bool:
    homes: dict[str, Any] = {"#": {k: v for k, v in root.items() if k != "$defs"}}
    homes |= {f"#/$defs/{name}": part for name, part in root.get("$defs", {}).items()}
    links = {
        name: {part["$ref"] for _, part in _walk(home, ()) if "$ref" in part}
        for name, home in homes.items()
    }
    return any(_reaches(links, name, name, set()) for name in links)


def _reaches(links: dict[str, set[str]], start: str, goal: str, seen: set[str]) -> bool:
    for step in links.get(start, set()) - seen:
        seen.add(step)
        if step == goal or _reaches(links, step, goal, seen):
            return True
    return False
