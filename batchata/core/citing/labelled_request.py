"""Fields and citations from one call, where a vendor allows no schema beside citations.

Anthropic refuses a request that asks for both an answer by schema and citations. There are two
ways out. A second call can put a cited answer into the schema: it costs the answer's tokens a
second time, waits a second time, doubles what can fail, and the second model no longer sees the
document, so what it changes is not noticed. Or the model answers once, as plain text of one line
for each field, "vendor.name: Acme Corp": citations stay on and stand at the very value they are
for, the line's label is the field's own path, so that mapping is exact, and reading the lines back
needs no model. What it loses is the vendor's grammar: a line may be missing or malformed, which is
then a Failure of the same kind as an answer that does not fit its schema. We take the second way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel

from batchata.core.citing.field_shape import FieldShape, shape_of
from batchata.core.schema import source_schema

_MOST_LINES: Final = 400
_MOST_DEPTH: Final = 8

_RULES: Final = """\
Answer in plain text: one line for each field, each as "path: value", and nothing before, between \
or after the lines. No JSON, no tables, no Markdown.

Lines to write:
{lines}

Rules:
- Write each path exactly as above, then a colon, a space and the value, all on one line.
- Take every value from the documents.{missing}
- Write numbers in digits with a decimal point, without thousands separators, currency or units.
- Write dates as YYYY-MM-DD, times as HH:MM, and booleans as yes or no.{lists}{words}"""
_MISSING: Final = ' Where they do not say it, write "none".'
_LISTS: Final = """
- [0] is the first item of a list: go on with [1], [2] and so on for further items, one line for \
each of their fields. For a list without items write its path without the brackets and "none"."""
_WORDS: Final = """
- Where words are listed in brackets, write one of them exactly."""


def labelled_prompt(source: type[BaseModel] | Mapping[str, Any]) -> str:
    """The instruction that makes a model answer as labelled lines, which keep citations on."""
    schema = source_schema(source)
    lines = list(_lines(shape_of(schema, schema), "", 0))[:_MOST_LINES]
    text = "\n".join(lines)
    return _RULES.format(
        lines=text,
        missing=_MISSING,
        lists=_LISTS if "[0]" in text else "",
        words=_WORDS if "one of [" in text else "",
    )


def _lines(shape: FieldShape, path: str, depth: int, told: str = "") -> Iterator[str]:
    told = told or shape.description
    if depth > _MOST_DEPTH or path.count("[0].") > 3:
        return
    item = shape.item
    if item is not None:
        yield from _lines(item, f"{path}[0]", depth + 1, told)
    elif shape.is_object:
        for name, each in shape.fields.items():
            yield from _lines(each, f"{path}.{name}" if path else name, depth + 1)
        if shape.rest is not None:
            yield from _lines(shape.rest, f"{path}.<name>" if path else "<name>", depth + 1)
    else:
        yield f"{path}: <{_kind(shape)}>" + (f" ({told})" if told else "")


def _kind(shape: FieldShape) -> str:
    if shape.values:
        return f"one of [{', '.join(str(value) for value in shape.values if value is not None)}]"
    for name, word in (
        ("boolean", "yes or no"),
        ("integer", "whole number"),
        ("number", "number"),
        ("date", "date"),
        ("date-time", "date and time"),
        ("time", "time"),
    ):
        if name in shape.types:
            return word
    return "text"
