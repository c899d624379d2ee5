"""Makes a value that a JSON schema accepts, the same one for the same seed."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from batchata.gateway.sandbox.pattern_values import text_matching

JsonSchema = Mapping[str, Any]

WORDS: Final = (
    "amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbour",
    "indigo", "juniper", "kestrel", "linden", "meadow", "north", "opal", "pebble",
)  # fmt: skip
MAX_DEPTH: Final = 5  #: below it only what is required is made, by the shortest way
COUNTED: Final = 2  #: most items beyond `minItems`


SCHEMA_PROBLEMS: Final = (
    LookupError, TypeError, ValueError, AttributeError, RecursionError, ArithmeticError,
)  # fmt: skip


class BadSchemaError(ValueError):
    """The schema is broken, or asks for more than the sandbox can make."""


class Dice:
    """A stream of small numbers that follows from its seed alone."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = (seed * 2_862_933_555_777_941_757 + 3_037_000_493) & (2**64 - 1)

    def roll(self, sides: int) -> int:
        """Give a number from 0 to `sides` - 1."""
        self._state = (self._state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & (
            2**64 - 1
        )
        return (self._state >> 33) % sides

    def pick(self, options: "tuple[Any, ...] | list[Any]") -> Any:
        """Give one of the options."""
        return options[self.roll(len(options))]


class SchemaValues:
    """Makes values for one schema."""

    def __init__(self, schema: JsonSchema | bool) -> None:
        self._root = schema

    @classmethod
    def from_json(cls, data: bytes) -> "SchemaValues":
        """Read the schema from JSON."""
        return cls(orjson.loads(data))

    def value(self, seed: int) -> Any:
        """Make the value of this seed, or raise BadSchemaError."""
        try:
            return self._make(self._root, Dice(seed), 0)
        except SCHEMA_PROBLEMS as problem:
            raise BadSchemaError(f"no value can be made: {problem!r}") from problem

    def _make(self, schema: JsonSchema | bool, dice: Dice, depth: int) -> Any:
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return dice.pick(list(schema["enum"]))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                branch = self._branch(list(schema[key]), dice, depth)
                rest = {k: v for k, v in schema.items() if k != key}
                return self._make(_merged(rest, self._resolve(branch)), dice, depth)
        return self._typed(schema, dice, depth)

    def _typed(self, schema: JsonSchema, dice: Dice, depth: int) -> Any:
        match self._kind(schema, dice, depth):
            case "object":
                return self._object(schema, dice, depth)
            case "array":
                return self._array(schema, dice, depth)
            case "integer":
                return _integer(schema, dice)
            case "number":
                return _number(schema, dice)
            case "boolean":
                return bool(dice.roll(2))
            case "null":
                return None
            case _:
                return _string(schema, dice)

    def _kind(self, schema: JsonSchema, dice: Dice, depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return "null" if depth > MAX_DEPTH and "null" in kind else str(dice.pick(kind))
        if kind is not None:
            return str(kind)
        if "properties" in schema or "required" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _resolve(self, schema: JsonSchema | bool) -> JsonSchema:
        if isinstance(schema, bool):
            return {}
        for _ in range(100):
            if "$ref" not in schema:
                break
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _merged(rest, self._pointed(str(schema["$ref"])))
        for part in schema.get("allOf", ()):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            schema = _merged(rest, self._resolve(part))
        return schema

    def _pointed(self, ref: str) -> JsonSchema:
        target: Any = self._root
        for step in ref.removeprefix("#").split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            target = target[int(name)] if isinstance(target, list) else target[name]
        found: JsonSchema = target
        return found

    def _branch(self, branches: list[Any], dice: Dice, depth: int) -> Any:
        if depth > MAX_DEPTH:
            return min(
                branches, key=lambda branch: len(orjson.dumps(branch)) + self._weight(branch)
            )
        return dice.pick(branches)

    def _weight(self, branch: Any) -> int:
        resolved = self._resolve(branch)
        nested = resolved.get("type") in ("object", "array") or "anyOf" in resolved
        return 100_000 if nested else 0

    def _object(self, schema: JsonSchema, dice: Dice, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", ()))
        made: dict[str, Any] = {}
        for name, part in properties.items():
            if name in required or (depth <= MAX_DEPTH and dice.roll(2)):
                made[name] = self._make(part, dice, depth + 1)
        for name in sorted(required - properties.keys()):
            made[name] = dice.pick(WORDS)
        extra = schema.get("additionalProperties")
        while len(made) < int(schema.get("minProperties", 0)):
            part = extra if isinstance(extra, Mapping) else {}
            made[f"key_{len(made)}"] = self._make(part, dice, depth + 1)
        return made

    def _array(self, schema: JsonSchema, dice: Dice, depth: int) -> list[Any]:
        prefix = list(schema.get("prefixItems", ()))
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 1) + COUNTED))
        size = least if depth > MAX_DEPTH else least + dice.roll(min(most - least, COUNTED) + 1)
        parts = prefix + [schema.get("items", {})] * max(0, size - len(prefix))
        made = [self._make(part, dice, depth + 1) for part in parts[: max(size, least)]]
        if schema.get("uniqueItems"):
            return self._distinct(schema, made, least, dice, depth)
        return made

    def _distinct(
        self, schema: JsonSchema, made: list[Any], least: int, dice: Dice, depth: int
    ) -> list[Any]:
        found = {orjson.dumps(value): value for value in made}
        for _ in range(200):
            if len(found) >= least:
                break
            value = self._make(schema.get("items", {}), dice, depth + 1)
            found.setdefault(orjson.dumps(value), value)
        return list(found.values())


def _merged(first: JsonSchema, second: JsonSchema) -> dict[str, Any]:
    made = {**second, **first}
    for key in ("properties", "$defs"):
        if key in first and key in second:
            made[key] = {**first[key], **second[key]}
    if "required" in first and "required" in second:
        made["required"] = [*first["required"], *second["required"]]
    return made


def _bounds(schema: JsonSchema, step: float) -> tuple[float, float]:
    low = schema.get("minimum")
    high = schema.get("maximum")
    if "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + step
    if "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - step
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    return low, (low + 100 if high is None else high)


def _integer(schema: JsonSchema, dice: Dice) -> int:
    low, high = _bounds(schema, 1)
    step = int(schema.get("multipleOf", 1)) or 1
    first = -(-int(-(-low // 1)) // step)
    last = int(high // 1) // step
    return (first + dice.roll(max(1, min(last - first, 1_000) + 1))) * step


def _number(schema: JsonSchema, dice: Dice) -> float:
    if "multipleOf" in schema:
        step = schema["multipleOf"]
        low, high = _bounds(schema, step)
        first = int(-(-low // step))
        return float(step * (first + dice.roll(max(1, min(int(high // step) - first, 100) + 1))))
    low, high = _bounds(schema, 0.001)
    if high <= low:
        return float(low)
    made = round(low + (high - low) * dice.roll(1_000) / 1_000, 3)
    return float(min(max(made, low), high))


FORMATS: Final = {
    "date-time": "2026-0{m}-1{d}T0{h}:30:00Z",
    "date": "2026-0{m}-1{d}",
    "time": "0{h}:30:00Z",
    "duration": "PT{h}H",
    "email": "person{d}@example.com",
    "hostname": "host{d}.example.com",
    "ipv4": "192.0.2.{d}",
    "ipv6": "2001:db8::{d}",
    "uri": "https://example.com/{d}",
    "uuid": "00000000-0000-4000-8000-00000000000{d}",
}


def _string(schema: JsonSchema, dice: Dice) -> str:
    if template := FORMATS.get(str(schema.get("format", ""))):
        return template.format(m=1 + dice.roll(9), d=dice.roll(10), h=1 + dice.roll(9))
    if "pattern" in schema:
        return text_matching(str(schema["pattern"]), dice.roll)
    text = f"{dice.pick(WORDS)} {dice.pick(WORDS)}"
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    while len(text) < least:
        text += f" {dice.pick(WORDS)}"
    return text if most is None else text[: int(most)]
