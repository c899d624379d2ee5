"""Where rows come from, and the job for each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import RootModel

from batchata.core.errors import ValidationError
from batchata.core.job import Job, UnaskableJob, is_unicode
from batchata.core.schema import asked_schema
from batchata.core.template import Template, is_binary, is_missing
from batchata.rows.files import Row, plain, read_rows, reader_of
from batchata.rows.table import Table, is_table, table_of


class RowSource:
    """The rows of a table, a file or an iterable, each of which becomes a job.

    Raises ValidationError at once for whatever can be told without reading rows.
    """

    def __init__(
        self, rows: Any, *, prompt: str, id_column: str | None, keep: Sequence[str]
    ) -> None:
        self.template = _template(prompt)
        self.properties: Mapping[str, Any] = {}  #: fields of the answers, as JSON Schema has them
        self._id_column = id_column
        self._keep = _checked_keep(keep)
        self._table, self._path, self._rows = _told_apart(rows)
        names = (*self.template.columns, *self._keep)
        self._needed = tuple(dict.fromkeys((*names, id_column) if id_column else names))
        if self._table is not None:
            self._table.check(self._needed)

    def jobs(self, pattern: Job) -> Iterator[Job]:
        """A job like `pattern` for each row, in order; nothing is held in memory.

        A row without a value for its prompt becomes a job that fails alone. Raises
        ValidationError for a missing column and for a row without an id.
        """
        is_empty = True
        for where, row in self._read():
            is_empty = False
            yield self._job(pattern, where, row)
        if is_empty:
            raise ValidationError("the table has no rows", hint="give at least one row")

    def _read(self) -> Iterator[tuple[str, Row]]:
        if self._path is not None:
            yield from read_rows(self._path)
            return
        rows = self._rows if self._table is None else self._table.rows(self._needed)
        for number, row in enumerate[Any](rows, 1):
            if not isinstance(row, Mapping):
                raise ValidationError(
                    f"row {number} is a {type(row).__name__}", hint="each row is a dict"
                )
            yield f"row {number}", row

    def _job(self, pattern: Job, where: str, row: Row) -> Job:
        self.template.check(row, where)
        for name in self._keep:
            if name not in row:
                raise _no_column(row, where, name, "to keep")
        job_id = "" if self._id_column is None else self._id(self._id_column, where, row)
        metadata = pattern.metadata
        if self._keep:
            metadata = {**(metadata or {}), **{name: _kept(row, name) for name in self._keep}}
        why = self.template.why_unfilled(row)
        if why is None:
            prompt = self.template.fill(row)
            return replace(pattern, id=job_id, prompt=prompt, metadata=metadata)
        said = {each.name: getattr(pattern, each.name) for each in fields(pattern)}
        # the position is part of the question: rows without an id must not be taken for one
        said.update(id=job_id, prompt=where, metadata=metadata)
        return UnaskableJob(**said, why=f"{where} {why}")

    def _id(self, column: str, where: str, row: Row) -> str:
        if column not in row:
            raise _no_column(row, where, column, "for its id")
        value = row[column]
        if is_missing(value) or not str(value).strip():
            raise ValidationError(
                f"{where} has no id in column {column!r}",
                hint="give each row a unique id, or leave id out",
            )
        if is_binary(value):
            raise ValidationError(
                f"{where} has the id {value!r:.80}, which is bytes", hint="decode them first"
            )
        if not is_unicode(str(value)):
            raise ValidationError(f"{where} has the id {value!r}, which is not valid Unicode")
        return str(value)

    def table(self) -> Table | None:
        """All rows as a table again; None when they can only be read once."""
        if self._table is not None:
            return self._table
        if self._path is not None:
            return _table_of_rows(row for _, row in read_rows(self._path))
        if isinstance(self._rows, Sequence):
            return _table_of_rows(self._rows)
        return None


def _told_apart(rows: Any) -> tuple[Table | None, Path | None, Iterable[Row]]:
    if isinstance(rows, (str, os.PathLike)):
        path = Path(rows)
        reader_of(path)
        return None, path, ()
    if is_table(rows):
        return Table(rows), None, ()
    if isinstance(rows, Iterable) and not isinstance(rows, (bytes, Mapping)):
        return None, None, rows
    raise ValidationError(
        f"rows is a {type(rows).__name__}",
        hint="give a pandas, polars or arrow table, a path, or an iterable of dicts",
    )


class RowJobs:
    """The jobs of a source, made anew on each iteration."""

    def __init__(self, source: RowSource, pattern: Job) -> None:
        self._source = source
        self._pattern = pattern
        source.properties = _properties(pattern)

    def __iter__(self) -> Iterator[Job]:
        return self._source.jobs(self._pattern)


def _properties(job: Job) -> Mapping[str, Any]:
    """The fields of answers to such a job, each with its JSON Schema."""
    model = job.response_model
    asked: Mapping[str, Any] = (
        asked_schema(model) if model is not None else job.response_schema or {}
    )
    said = asked.get("properties") or {}
    if model is None or issubclass(model, RootModel):
        return said if isinstance(said, Mapping) else {}
    return {name: said.get(each.alias or name, {}) for name, each in model.model_fields.items()}


def _no_column(row: Row, where: str, name: str, what_for: str) -> ValidationError:
    return ValidationError(
        f"{where} has no column {name!r} {what_for}",
        hint=f"its columns are: {', '.join(map(str, row)) or 'none'}",
    )


def _kept(row: Row, name: str) -> Any:
    value = row.get(name)
    return None if is_missing(value) else plain(value)


def _table_of_rows(rows: Iterable[Row]) -> Table:
    columns: dict[str, list[Any]] = {}
    count = 0
    for row in rows:
        for name, value in row.items():
            column = columns.setdefault(str(name), [])
            column.extend([None] * (count - len(column)))
            column.append(value)
        count += 1
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    return table_of(columns)


def _template(prompt: object) -> Template:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValidationError(
            f"prompt is {prompt!r:.80}, not a template", hint='write prompt="Sum up: {text}"'
        )
    template = Template(prompt)
    if not template.columns:
        raise ValidationError(
            f"the prompt {prompt!r:.80} names no column", hint='write prompt="Sum up: {text}"'
        )
    return template


def _checked_keep(keep: object) -> tuple[str, ...]:
    if isinstance(keep, str) or not isinstance(keep, Sequence):
        raise ValidationError(
            f"keep is {keep!r:.80}, not a list of columns", hint='write keep=["year"]'
        )
    return tuple(keep)
