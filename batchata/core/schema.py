"""From a pydantic model or a JSON Schema to what a vendor's strict mode takes.

What a vendor does not take and the answer does not lose is left out and checked when the answer
comes; what cannot be said at all is an error that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import DecimalSchema

from batchata.core.errors import ValidationError
from batchata.core.schema_limits import check_limits

Dialect = Literal["openai", "anthropic"]
Schema = Mapping[str, Any]

_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_NUMBER_LIMITS: Final = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
)
#: keywords that say more than a vendor's grammar can
_REFUSED: Final = {
    "not": "a 'not'",
    "if": "an 'if'",
    "patternProperties": "free keys by pattern",
    "propertyNames": "free keys",
    "dependentRequired": "dependent fields",
    "dependentSchemas": "dependent fields",
    "prefixItems": "a tuple of fixed places",
    "contains": "a 'contains'",
    "unevaluatedProperties": "'unevaluatedProperties'",
    "$dynamicRef": "a '$dynamicRef'",
}
#: constraints worth telling the model in words where the grammar cannot hold them
_TOLD: Final = (
    *_NUMBER_LIMITS,
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
    "format",
)
_MOST_NODES: Final = 50_000
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "null", "object", "array"})
_DECIMAL_TEXT: Final = r"^-?[0-9]+(\.[0-9]+)?$"
#: look-around, flags and back references: no vendor's grammar has them
_HARD_PATTERN: Final = re.compile(r"\(\?(?!:)|\\[1-9]|\\[bBAzZ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalised:
    """A schema that the vendor takes, and its name there."""

    name: str
    schema: dict[str, Any]


def normalise(source: type[BaseModel] | Schema, *, dialect: Dialect) -> Normalised:
    """The vendor's form of `source`; ValidationError with the field's path if there is none."""
    whole = asked_schema(source)
    try:
        found = _Normaliser(whole, dialect).root()
        check_limits(found, dialect)
    except RecursionError as error:
        raise _error("", "the schema is nested too deeply", "flatten it") from error
    return Normalised(name=_schema_name(source, whole), schema=found)


def loose(source: type[BaseModel] | Schema) -> Normalised:
    """The whole schema, as a tool's arguments or a prompt take it: no vendor checks the answer."""
    whole = source_schema(source)
    top = _Normaliser(whole, "openai").top()
    kept = {key: whole[key] for key in _DEFS if key in whole}
    return Normalised(name=_schema_name(source, whole), schema={**top, **kept})


def _schema_name(source: type[BaseModel] | Schema, whole: Schema) -> str:
    name = source.__name__ if isinstance(source, type) else str(whole.get("title") or "answer")
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "answer"


class _WithDecimals(GenerateJsonSchema):
    """Texts of decimals as texts of digits: any other is no decimal, and was paid for."""

    def decimal_schema(self, schema: DecimalSchema) -> JsonSchemaValue:
        """A number, or a number as text."""
        found = super().decimal_schema(schema)
        for choice in found.get("anyOf", ()):
            if choice.get("type") == "string":
                choice["pattern"] = _DECIMAL_TEXT
        return found


def asked_schema(source: type[BaseModel] | Schema) -> dict[str, Any]:
    """The schema to ask by: that of the source, a little narrower where only that is readable."""
    return source_schema(source, _WithDecimals)


def source_schema(
    source: type[BaseModel] | Schema, generator: type[GenerateJsonSchema] = GenerateJsonSchema
) -> dict[str, Any]:
    """The full JSON Schema of a model class, or a copy of the mapping given."""
    if isinstance(source, Mapping):
        return dict(source)
    if not (isinstance(source, type) and issubclass(source, BaseModel)):
        raise ValidationError(
            f"{source!r} is neither a pydantic model class nor a JSON Schema",
            hint="write response_model=Invoice with class Invoice(BaseModel)",
        )
    try:
        return source.model_json_schema(schema_generator=generator)
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise ValidationError(
            f"{source.__name__} has no JSON Schema: {str(error).splitlines()[0]}",
            hint="use fields of types that JSON can hold",
        ) from error


@dataclass(slots=True)
class _Normaliser:
    """Walks one schema; `path` is the field it is at, as "items[].price"."""

    whole: Schema
    dialect: Dialect
    defs: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: definitions being written out, from the root to here
    open_refs: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    nodes: int = 0

    def root(self) -> dict[str, Any]:
        """The whole schema: an object, with the definitions that are still referred to."""
        found = self.node(self.top(), "")
        if self.defs:
            found["$defs"] = self.defs
        return found

    def top(self) -> dict[str, Any]:
        """The schema of the answer itself, which is an object, without the definitions."""
        top = {key: value for key, value in self.whole.items() if key not in _DEFS}
        seen: set[str] = set()
        while set(top) - _LABELS == {"$ref"} and top["$ref"] not in seen:
            seen.add(top["$ref"])
            labels = {key: top[key] for key in _LABELS if key in top}
            top = {**self._target(top["$ref"], ""), **labels}
        if top.get("type") != "object":
            raise _error(
                "",
                "the answer is not an object",
                "wrap it in a model with one field, as class Answer(BaseModel): items: list[Item]",
            )
        return top

    def node(self, schema: Any, path: str) -> dict[str, Any]:
        """One schema in the vendor's form."""
        self.nodes += 1
        if self.nodes > _MOST_NODES:
            raise _error(path, f"the schema has more than {_MOST_NODES} parts", "split the model")
        if not isinstance(schema, Mapping):
            raise _error(path, f"the schema is {schema!r:.40}, not a mapping", "give its type")
        for key, what in _REFUSED.items():
            if key in schema:
                raise _error(path, f"{what} cannot be expressed", "use a model with named fields")
        if "allOf" in schema:
            return self.node(_merged(schema, path), path)
        if "$ref" in schema:
            return self._reference(schema, path)
        if "anyOf" in schema or "oneOf" in schema:
            return self._union(schema, path)
        return self._plain(schema, path)

    def _reference(self, schema: Schema, path: str) -> dict[str, Any]:
        ref = schema["$ref"]
        target = self._target(ref, path)
        name = self._name(ref)
        if "description" in schema and ref not in self.open_refs:
            # vendors refuse words beside a reference: write the definition out here
            self.open_refs.append(ref)
            found = self.node({**target, "description": schema["description"]}, path)
            self.open_refs.pop()
            return found
        if self.dialect == "anthropic" and (ref == "#" or ref in self.open_refs):
            raise _error(
                path,
                f"{name!r} contains itself, which Anthropic cannot express",
                'replace the recursion by a list with ids of parents, or write structured="tool"',
            )
        if ref == "#":
            return {"$ref": "#"}
        if name not in self.defs:
            self.defs[name] = {}  # a place, so that recursion ends
            self.open_refs.append(ref)
            self.defs[name] = self.node(target, path)
            self.open_refs.pop()
        return {"$ref": f"#/$defs/{name}"}

    def _name(self, ref: str) -> str:
        """The definition's name at the vendor: safe characters, one name per definition."""
        if ref not in self.names:
            stem = re.sub(r"[^A-Za-z0-9_.-]", "_", str(ref).rpartition("/")[2])
            taken = self.names.values()
            self.names[ref] = stem if stem not in taken else f"{stem}_{len(self.names)}"
        return self.names[ref]

    def _target(self, ref: object, path: str) -> Schema:
        if ref == "#":
            return self.whole
        node: Any = self.whole
        for part in str(ref).removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            node = node.get(part) if isinstance(node, Mapping) else None
        if not str(ref).startswith("#/") or not isinstance(node, Mapping):
            raise _error(
                path, f"{ref!r} leads nowhere", 'refer to "#/$defs/NAME" of the same schema'
            )
        return node

    def _union(self, schema: Schema, path: str) -> dict[str, Any]:
        choices = schema.get("anyOf") or schema.get("oneOf")
        if not isinstance(choices, (list, tuple)) or not choices:
            raise _error(path, "anyOf has no choices", "list at least one schema in it")
        found: dict[str, Any] = {}
        if "description" in schema:
            found["description"] = schema["description"]
        found["anyOf"] = [self.node(choice, path) for choice in choices]
        return found

    def _plain(self, schema: Schema, path: str) -> dict[str, Any]:
        kind = schema.get("type")
        kinds = kind if isinstance(kind, (list, tuple)) else [kind]
        found: dict[str, Any] = {}
        if kind is not None:
            if not _TYPES.issuperset(kinds):
                raise _error(path, f"type {kind!r} is unknown", f"use one of {sorted(_TYPES)}")
            found["type"] = kind
        elif "enum" not in schema and "const" not in schema:
            raise _error(path, "anything is allowed here", "give the field a type other than Any")
        if "description" in schema:
            found["description"] = schema["description"]
        for key in ("enum", "const"):
            if key in schema:
                found[key] = schema[key]
        if "object" in kinds:
            self._object(schema, found, path)
        if "array" in kinds:
            self._array(schema, found, path)
        self._constraints(schema, found, path)
        return found

    def _object(self, schema: Schema, found: dict[str, Any], path: str) -> None:
        fields = schema.get("properties") or {}
        more = schema.get("additionalProperties", False)
        if isinstance(more, Mapping) or not fields:
            raise _error(
                path,
                "an object without fixed fields cannot be expressed",
                "name its fields, or use list[Pair] with class Pair(BaseModel): key: str; "
                "value: ...",
            )
        found["properties"] = {
            name: self.node(each, f"{path}.{name}" if path else name)
            for name, each in fields.items()
        }
        required = schema.get("required") or ()
        for name in required:
            if name not in fields:
                raise _error(path, f"{name!r} is required and not described", "describe the field")
        found["required"] = [
            name for name in fields if self.dialect == "openai" or name in required
        ]
        found["additionalProperties"] = False

    def _array(self, schema: Schema, found: dict[str, Any], path: str) -> None:
        items = schema.get("items")
        if not isinstance(items, Mapping) or not items:
            raise _error(path, "a list of anything", "give its items a type, as list[str]")
        found["items"] = self.node(items, f"{path}[]")

    def _constraints(self, schema: Schema, found: dict[str, Any], path: str) -> None:
        told = []
        for key in _TOLD:
            if key not in schema:
                continue
            _check_constraint(key, schema[key], path)
            if self._takes(key, schema[key]):
                found[key] = schema[key]
            elif key not in ("pattern", "format"):
                told.append(f"{key} {schema[key]}")
        if told:
            words = f"({', '.join(told)})"
            text = found.get("description")
            found["description"] = f"{text} {words}" if text else words

    def _takes(self, key: str, value: Any) -> bool:
        if key == "pattern":
            return not _HARD_PATTERN.search(str(value))
        if key == "format":
            return value in _FORMATS or (self.dialect == "anthropic" and value == "uri")
        if key in ("minLength", "maxLength"):
            return False
        return self.dialect == "openai" or (key == "minItems" and value in (0, 1))


_DEFS: Final = frozenset({"$defs", "definitions"})
_LABELS: Final = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$id",
        "$comment",
    }
)


def _merged(schema: Schema, path: str) -> dict[str, Any]:
    """A one-element allOf, which says no more than its element, beside labels only."""
    parts, rest = schema["allOf"], {k: v for k, v in schema.items() if k != "allOf"}
    if isinstance(parts, (list, tuple)) and len(parts) == 1 and _LABELS.issuperset(rest):
        (only,) = parts
        if isinstance(only, Mapping):
            return {**only, **rest}
    raise _error(path, "an 'allOf' of several parts cannot be expressed", "write one whole object")


def _check_constraint(key: str, value: Any, path: str) -> None:
    kinds: tuple[type, ...] = (str,) if key in ("pattern", "format") else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise _error(path, f"{key} is {value!r:.40}", f"write {key}={kinds[0]()!r}")


def _error(path: str, found: str, hint: str) -> ValidationError:
    return ValidationError(f"{path or 'the schema'}: {found}", hint=hint)
