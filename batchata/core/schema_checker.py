"""A JSON Schema made into one quick function, for the answers that fit; most of them do.

What does not fit goes to `violations`, which says where and why. The two agree by test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from batchata.core.schema_violations import (
    LIMITS,
    MATCHED_CHARACTERS,
    is_type,
    same,
    target,
    violations,
)

Schema = Mapping[str, Any]
Test = Callable[[Any], bool]

#: types whose values are told by their Python type alone
_EXACT: Final[dict[str, frozenset[type]]] = {
    "string": frozenset({str}),
    "number": frozenset({int, float}),
    "boolean": frozenset({bool}),
    "null": frozenset({type(None)}),
    "object": frozenset({dict}),
    "array": frozenset({list}),
}
#: keywords of a schema that says no more than a type
_PLAIN: Final = frozenset({"type", "title", "description"})


class Checker:
    """A schema that many answers are checked against."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._test = _Compiler(schema).test(schema)

    def fits(self, value: Any) -> bool:
        """True when the value fits; it may raise RecursionError for a deep one."""
        return self._test is None or self._test(value)

    def violations(self, value: Any, *, most: int = 3) -> list[str]:
        """The first places where the value does not fit; quick when it does."""
        return [] if self.fits(value) else violations(value, self.schema, most=most)


@lru_cache(maxsize=256)
def checker_of(schema: str) -> Checker:
    """The checker of a schema's JSON text, made once."""
    return Checker(json.loads(schema))


class _Compiler:
    """Makes tests of one schema; a test of None fits anything."""

    def __init__(self, whole: Schema) -> None:
        self._whole = whole
        self._refs: dict[str, Test] = {}

    def test(self, schema: Any) -> Test | None:
        if schema is False:
            return _never
        if not isinstance(schema, Mapping):
            return None
        made = (
            self._reference(schema),
            _typed(schema),
            _values(schema),
            *map(self.test, schema.get("allOf", ())),
            self._choices(schema),
            self._object(schema),
            self._array(schema),
            _text(schema),
            _number(schema),
        )
        return _all_of([each for each in made if each is not None])

    def _reference(self, schema: Schema) -> Test | None:
        if "$ref" not in schema:
            return None
        ref = str(schema["$ref"])
        if ref not in self._refs:
            cell: list[Test | None] = []
            self._refs[ref] = lambda value: cell[0] is None or cell[0](value)
            cell.append(self.test(target(ref, self._whole)))
        return self._refs[ref]

    def _choices(self, schema: Schema) -> Test | None:
        choices = schema.get("anyOf") or schema.get("oneOf")
        if not choices:
            return None
        if all(_is_plain(each) for each in choices):
            # the everyday optional field: a type or null
            return _typed({"type": [each["type"] for each in choices]})
        tests = [self.test(each) for each in choices]
        if None in tests:
            return None
        known = tuple(each for each in tests if each is not None)
        if len(known) == 2:
            one, two = known
            return lambda value: one(value) or two(value)
        return lambda value: any(test(value) for test in known)

    def _object(self, schema: Schema) -> Test | None:
        fields = {name: self.test(each) for name, each in schema.get("properties", {}).items()}
        required = frozenset(schema.get("required", ()))
        other = self.test(schema.get("additionalProperties", True))
        if not required and other is None and not any(fields.values()):
            return None
        find = fields.get

        def fits(value: Any) -> bool:
            if type(value) is not dict:
                return True
            if not required <= value.keys():
                return False
            for name, each in value.items():
                test = find(name, other)
                if test is not None and not test(each):
                    return False
            return True

        return fits

    def _array(self, schema: Schema) -> Test | None:
        items = self.test(schema.get("items", True))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if items is None and not least and most is None:
            return None

        def fits(value: Any) -> bool:
            if type(value) is not list:
                return True
            if len(value) < least or (most is not None and len(value) > most):
                return False
            return items is None or all(map(items, value))

        return fits


def _all_of(tests: list[Test]) -> Test | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    if len(tests) == 2:
        one, two = tests
        return lambda value: one(value) and two(value)
    known = tuple(tests)
    return lambda value: all(test(value) for test in known)


def _is_plain(schema: Any) -> bool:
    if not isinstance(schema, Mapping) or not _PLAIN.issuperset(schema):
        return False
    return type(schema.get("type")) is str


def _never(value: Any) -> bool:
    return False


def _typed(schema: Schema) -> Test | None:
    kind = schema.get("type")
    if kind is None:
        return None
    kinds = list(kind) if isinstance(kind, (list, tuple)) else [kind]
    if all(each in _EXACT for each in kinds):
        types = frozenset[type]().union(*(_EXACT[each] for each in kinds))
        if len(types) == 1:
            (only,) = types
            return lambda value: type(value) is only
        return lambda value: type(value) in types
    if kinds == ["integer"]:
        return lambda value: type(value) is int or is_type(value, kinds)
    return lambda value: is_type(value, kinds)


def _values(schema: Schema) -> Test | None:
    allowed = list(schema["enum"]) if "enum" in schema else None
    if "const" in schema:
        if allowed is not None:
            first, rest = _values({"enum": allowed}), _values({"const": schema["const"]})
            return _all_of([each for each in (first, rest) if each is not None])
        allowed = [schema["const"]]
    if allowed is None:
        return None
    if all(type(each) is str for each in allowed):
        words = frozenset(allowed)
        return lambda value: type(value) is str and value in words
    return lambda value: any(same(value, each) for each in allowed)


def _text(schema: Schema) -> Test | None:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    pattern = schema.get("pattern")
    search = None
    if isinstance(pattern, str):
        try:
            search = re.compile(pattern).search
        except re.error:
            search = None  # another dialect's pattern: not ours to judge
    if not least and most is None and search is None:
        return None

    def fits(value: Any) -> bool:
        if type(value) is not str:
            return True
        size = len(value)
        if size < least or (most is not None and size > most):
            return False
        return search is None or size > MATCHED_CHARACTERS or search(value) is not None

    return fits


def _number(schema: Schema) -> Test | None:
    limits = [(holds, schema[key]) for key, holds in LIMITS.items() if key in schema]
    if not limits:
        return None

    def fits(value: Any) -> bool:
        if type(value) is not int and type(value) is not float:
            return True
        return all(holds(value, limit) for holds, limit in limits)

    return fits
