"""What answers must look like, for one row and for a whole pack, however a user says so."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic import ValidationError as ModelError

from batchata.core.errors import ValidationError
from batchata.core.model_code import ModelCodeError, from_values
from batchata.core.schema import Dialect, normalise, source_schema
from batchata.core.schema_checker import Checker
from batchata.rows.columns import kinds_of

ID: Final = "input_id"
#: keys under which an answer may hold its rows
LISTS: Final = ("all_results", "results", "all results")
_DEFS: Final = ("$defs", "definitions")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSchema:
    """A schema as one value: what the vendor is asked for, and what each row is checked against."""

    whole: dict[str, Any]  #: of the answer to a pack
    row: dict[str, Any]  #: of one of its rows
    model: type[BaseModel] | None = None
    response_format: dict[str, Any] | None = None  #: the user's own, sent as it is
    checker: Checker = field(init=False, repr=False, compare=False)  #: of `row`

    def __post_init__(self) -> None:
        object.__setattr__(self, "checker", Checker(self.row))

    @property
    def text(self) -> str:
        """The schema as text; a changed one makes another question."""
        return json.dumps(self.whole, sort_keys=True)

    @property
    def fields(self) -> list[str]:
        """Names of a row's fields, in the order of the schema."""
        return [name for name in self.row.get("properties", {}) if name != ID]

    @property
    def kinds(self) -> dict[str, type]:
        """The types of the fields for which the schema names one plain type."""
        return kinds_of(self.row.get("properties", {}))

    def problem(self, row: dict[str, Any]) -> str | None:
        """Why a row does not fit; None when it does."""
        found = self.checker.violations(row, most=2)
        if found:
            return "; ".join(found)
        if self.model is None:
            return None
        try:
            from_values(self.model, {name: row[name] for name in row if name != ID})
        except ModelError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            return f"{'.'.join(map(str, first['loc'])) or 'answer'}: {first['msg']}"
        except ModelCodeError as error:
            return f"its validator raised {error}"
        return None


def read_schema(given: object, *, dialect: Dialect = "openai") -> AnswerSchema | None:
    """A schema from a pydantic model, a dict (of a row, of a whole answer, or OpenAI's
    `response_format`), or a path to a JSON file of one; ValidationError when it cannot be used.
    """
    if given is None:
        return None
    if isinstance(given, type) and issubclass(given, BaseModel):
        found = _of_row(source_schema(given), model=given)
    else:
        found = _of_mapping(_mapping(given))
    if found.response_format is None:
        normalise(found.whole, dialect=dialect)  # raises now what would fail every row
    return found


def _mapping(given: object) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, (str, os.PathLike)):
        raise ValidationError(
            f"schema is a {type(given).__name__}",
            hint="give a pydantic model class, a JSON Schema as a dict, or a path to one",
        )
    path = Path(given)
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise ValidationError(
            f"the schema {str(path)!r} cannot be read: {error.strerror}",
            hint="give a path to a JSON file",
        ) from error
    except ValueError as error:
        raise ValidationError(f"the schema {str(path)!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValidationError(f"the schema {str(path)!r} is a {type(value).__name__}")
    return value


def _of_mapping(given: dict[str, Any]) -> AnswerSchema:
    if given.get("type") != "json_schema":
        return _of_schema(given)
    inner = given.get("json_schema")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        raise ValidationError(
            "the schema is a response_format without a schema",
            hint='write {"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}',
        )
    found = _of_schema({**inner["schema"], "title": str(inner.get("name") or "extraction")})
    if inner.get("strict") is not False:
        return found
    return AnswerSchema(whole=found.whole, row=found.row, response_format=given)


def _of_schema(schema: dict[str, Any]) -> AnswerSchema:
    fields = schema.get("properties")
    if not isinstance(fields, Mapping):
        raise ValidationError(
            "the schema has no properties",
            hint='describe one row: {"type": "object", "properties": {"mood": {"type": "string"}}}',
        )
    for name in LISTS:
        rows = fields.get(name)
        if isinstance(rows, Mapping) and "items" in rows:
            row = _resolved(rows["items"], schema)
            definitions = _definitions(schema)
            whole = {"title": "extraction", **schema}
            return AnswerSchema(whole=whole, row={**row, **definitions})
    return _of_row(schema)


def _definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key in _DEFS}


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return dict(schema)
    target: Any = whole
    for part in reference.removeprefix("#/").split("/"):
        target = target.get(part, {}) if isinstance(target, Mapping) else {}
    return dict(target)


def _of_row(schema: dict[str, Any], model: type[BaseModel] | None = None) -> AnswerSchema:
    """The schema of a pack's answer, around that of a row with its id added."""
    definitions = _definitions(schema)
    row = {key: value for key, value in schema.items() if key not in _DEFS}
    fields = row.get("properties") or {}
    row["properties"] = {ID: fields.get(ID, {"type": "string"}), **fields}
    row["required"] = [ID, *(name for name in row.get("required", ()) if name != ID)]
    whole = {
        "title": "extraction",
        "type": "object",
        "properties": {LISTS[0]: {"type": "array", "items": row}},
        "required": [LISTS[0]],
        "additionalProperties": False,
        **definitions,
    }
    return AnswerSchema(whole=whole, row={**row, **definitions}, model=model)
