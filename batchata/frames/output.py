"""Turns how rows ended into columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from batchata.core.job import is_unicode
from batchata.core.template import is_binary, is_missing
from batchata.frames.packs import RowAnswer
from batchata.frames.schema import ID, AnswerSchema
from batchata.rows.columns import free_name
from batchata.rows.joining import Answers


@dataclass(frozen=True, slots=True)
class Ended:
    """How the rows of a table ended, in order; each answer is parsed only when its turn comes."""

    missing: Sequence[RowAnswer | None]  #: for rows that could not be asked about
    answer: Callable[[int], RowAnswer]

    def __len__(self) -> int:
        return len(self.missing)

    def __iter__(self) -> Iterator[RowAnswer]:
        return (each or self.answer(number) for number, each in enumerate(self.missing))


class Columns(NamedTuple):
    """Columns by name, and their types, which are known even without values."""

    values: dict[str, list[Any]]
    kinds: dict[str, type]


def columns_of(ended: Iterable[RowAnswer], schema: AnswerSchema | None) -> Columns:
    """The fields of the answers, then `status` and `error`, renamed if a field has their name."""
    answers = Answers()
    for name in schema.fields if schema is not None else ():
        answers.fields[name] = []
    for each in ended:
        fields = {name: value for name, value in (each.fields or {}).items() if name != ID}
        answers.add(fields, None, each.status, each.error)
    made = Columns(dict(answers.field_columns()), dict(schema.kinds) if schema is not None else {})
    own = own_columns(answers.fields)
    made.values.update(zip(own, (answers.statuses, answers.errors), strict=True))
    made.kinds.update(dict.fromkeys(own, str))
    return made


def own_columns(fields: Collection[str]) -> tuple[str, str]:
    """Names for the columns `status` and `error` that none of these fields has."""
    return free_name("status", fields, "row_"), free_name("error", fields, "row_")


def unasked(row: tuple[Any, ...], names: tuple[str, str]) -> RowAnswer | None:
    """The ending of a row of (id, text) that cannot be asked about; None when it can."""
    for value, column in zip(row, names, strict=True):
        why = None
        if is_missing(value) or (column == names[0] and not str(value).strip()):
            why = f"the row has no value in column {column!r}"
        elif is_binary(value):
            why = f"the value in column {column!r} is bytes, not text"
        elif not is_unicode(str(value)):
            why = f"the value in column {column!r} is not valid Unicode"
        if why is not None:
            return RowAnswer("failed", None, f"{why}: it was not asked")
    return None
