"""Adds answers as new columns to the rows they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from batchata.core.model_code import plain
from batchata.core.result import JobResult
from batchata.rows.columns import free_name, kinds_of
from batchata.rows.table import Table

UNREAD: Final = "the run stopped before it read this row; run again with the same state file"


def join(
    table: Table, results: Iterable[JobResult], properties: Mapping[str, Any] | None = None
) -> Any:
    """The table with `status`, `error`, `cost_usd` and a column for each field of the answers.

    `properties` of a JSON Schema are fields even if no row has an answer.
    Results come in the order of the rows; rows beyond them were not read. Answers without fields
    are one column, `response`. Names that the table already has get `answer_` in front.
    """
    answers, costs = Answers(), list[float]()
    named = properties or {}
    answers.fields.update({name: [] for name in named})
    plain_kinds = kinds_of(named)
    for result in results:
        answers.add(fields_of(result), result.raw_response, str(result.status), result.error)
        costs.append(float(result.cost_usd))
    for _ in range(len(table) - len(answers)):
        answers.add(None, None, "pending", UNREAD)
        costs.append(0.0)
    columns: dict[str, list[Any]] = {}
    kinds: dict[str, type] = {}
    for name, values in answers.field_columns().items():
        free = free_name(name, {*table.columns, *columns}, "answer_")
        columns[free] = values
        if name in plain_kinds:
            kinds[free] = plain_kinds[name]
    for name, values in answers.own_columns():
        name = free_name(name, {*table.columns, *columns}, "answer_")
        columns[name] = values
        kinds[name] = str
    columns[free_name("cost_usd", {*table.columns, *columns}, "answer_")] = costs
    return table.with_columns(columns, kinds)


class Answers:
    """The columns of answers, built row by row; fields that a row lacks are None."""

    def __init__(self) -> None:
        self.fields: dict[str, list[Any]] = {}
        self.statuses: list[str] = []
        self.errors: list[str | None] = []
        self._texts: list[str | None] = []

    def __len__(self) -> int:
        return len(self.statuses)

    def add(
        self, fields: dict[str, Any] | None, text: str | None, status: str, error: str | None
    ) -> None:
        """The next row's answer."""
        count = len(self)
        for name, value in (fields or {}).items():
            column = self.fields.get(name)
            if column is None:
                column = self.fields[name] = []
            column.extend([None] * (count - len(column)))
            column.append(value)
        self.statuses.append(status)
        self.errors.append(error)
        self._texts.append(text)

    def field_columns(self) -> dict[str, list[Any]]:
        """The fields of all answers, each with a value for every row."""
        count = len(self)
        for column in self.fields.values():
            column.extend([None] * (count - len(column)))
        return self.fields

    def own_columns(self) -> Iterator[tuple[str, list[Any]]]:
        """The columns that every row has: its text, if no answer has fields, and how it ended."""
        if not self.fields:
            yield "response", self._texts
        yield "status", self.statuses
        yield "error", self.errors


def fields_of(result: JobResult) -> dict[str, Any] | None:
    """The fields of a result's answer; None when it has none."""
    parsed = plain(result.parsed_response)
    return parsed if isinstance(parsed, dict) else None
