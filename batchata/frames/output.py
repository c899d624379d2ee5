"""How rows ended, as columns of a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from batchata.core.template import is_missing
from batchata.frames.packs import RowAnswer
from batchata.frames.schema import ID, AnswerSchema
from batchata.rows.columns import free_name
from batchata.rows.joining import Answers


def columns_of(ended: Iterable[RowAnswer], schema: AnswerSchema | None) -> dict[str, list[Any]]:
    """The fields of the answers, then `status` and `error`, which make room for such fields."""
    answers = Answers()
    for name in schema.fields if schema is not None else ():
        answers.fields[name] = []
    for each in ended:
        fields = {name: value for name, value in (each.fields or {}).items() if name != ID}
        answers.add(fields, None, each.status, each.error)
    made = dict(answers.field_columns())
    for name, values in (("status", answers.statuses), ("error", answers.errors)):
        made[free_name(name, answers.fields, "row_")] = values
    return made


def unasked(row: tuple[Any, Any], names: tuple[str, str]) -> RowAnswer | None:
    """How a row of (id, text) ends that cannot be asked about; None when it can."""
    (row_id, text), column = row, None
    if is_missing(row_id) or not str(row_id).strip():
        column = names[0]
    elif is_missing(text):
        column = names[1]
    if column is None:
        return None
    error = f"the row has no value in column {column!r}: it was not asked"
    return RowAnswer("failed", None, error)
