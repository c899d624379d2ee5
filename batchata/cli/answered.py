"""A file of rows written with the answers beside them: row by row, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from batchata.cli.tables import FileTable
from batchata.core.errors import ResultsError
from batchata.core.job import is_unicode
from batchata.disk.atomic import atomic_file
from batchata.frames.output import own_columns
from batchata.frames.packs import RowAnswer
from batchata.frames.schema import ID, AnswerSchema
from batchata.rows.columns import Fit, free_name
from batchata.rows.files import Row, plain
from batchata.rows.reading import import_pyarrow

#: half a surrogate pair, which JSON can name and UTF-8 cannot hold, is written as JSON names it
_BROKEN: Final = "backslashreplace"
#: what is in memory at a time of a Parquet file, whichever is less
_PARQUET_ROWS: Final = 10_000
_PARQUET_BYTES: Final = 4 * 2**20
#: Parquet's names for what a column holds
_TYPES: Final = {str: "string", int: "int64", float: "float64", bool: "bool"}


class Answered:
    """The rows of a table with their answers, read anew each time they are asked for."""

    def __init__(
        self, table: FileTable, ended: Iterable[RowAnswer], schema: AnswerSchema | None
    ) -> None:
        self.table = table
        self._ended = ended
        known = dict.fromkeys(schema.fields if schema is not None else ())
        for each in ended:
            known.update(dict.fromkeys(each.fields or ()))
        fields = [name for name in known if name != ID]
        self._status, self._error = own_columns(fields)
        #: names of what answers say, and of the columns it goes to
        self.names: dict[str, str] = {}
        for name in (*fields, self._status, self._error):
            taken = {*table.columns, *self.names.values()}
            self.names[name] = free_name(name, taken, "answer_")
        kinds = {**(schema.kinds if schema is not None else {}), self._status: str}
        self.kinds = {column: kinds.get(name, str) for name, column in self.names.items()}

    def answers(self) -> Iterator[dict[str, Any]]:
        """What is said of each row, by column."""
        for each in self._ended:
            said = {**(each.fields or {}), self._status: each.status, self._error: each.error}
            yield {column: said.get(name) for name, column in self.names.items()}

    def rows(self) -> Iterator[tuple[Row, dict[str, Any]]]:
        """Each row, and what is said of it."""
        return zip(self.table.rows(), self.answers(), strict=True)


def write_answered(made: Answered, target: Path) -> None:
    """Write the rows with their answers; a file that is there is replaced in one step."""
    write = {".parquet": _write_parquet, ".csv": _write_csv}.get(
        target.suffix.lower(), _write_jsonl
    )
    try:
        with atomic_file(target) as part:
            write(made, part)
    except OSError as error:
        raise ResultsError(
            f"{str(target)!r} cannot be written: {error.strerror or error}",
            hint="mend that and run the same command again: nothing is paid twice",
        ) from error


def _write_csv(made: Answered, path: Path) -> None:
    columns = made.table.columns
    with path.open("w", encoding="utf-8", errors=_BROKEN, newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, *made.names.values()])
        for row, said in made.rows():
            kept = [_cell(row.get(name)) for name in columns]
            writer.writerow([*kept, *map(_cell, said.values())])


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _write_jsonl(made: Answered, path: Path) -> None:
    with path.open("w", encoding="utf-8", errors=_BROKEN) as file:
        for row, said in made.rows():
            whole = {name: plain(value) for name, value in row.items()} | said
            file.write(json.dumps(whole, ensure_ascii=False, default=str) + "\n")


def _write_parquet(made: Answered, path: Path) -> None:
    pyarrow = import_pyarrow()
    answers = _fits(made.answers(), made.names.values())
    beside = [_field(name, fit, made.kinds[name]) for name, fit in answers.items()]
    if made.table.path.suffix.lower() == ".parquet":
        kept = pyarrow.parquet.read_schema(made.table.path)
        parts = _parquet_parts(made.table.path)
    else:
        columns = _fits(map(_whole, made.table.rows()), made.table.columns)
        kept = pyarrow.schema([_field(name, fit, str) for name, fit in columns.items()])
        groups = _groups(map(_whole, made.table.rows()))
        parts = (_batch(each, kept, columns) for each in groups)
    schema = pyarrow.schema([*kept, *beside], metadata=kept.metadata)
    said = made.answers()
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for part in parts:
            more = _batch(list(islice(said, part.num_rows)), pyarrow.schema(beside), answers)
            together = [*part.columns, *more.columns]
            writer.write_table(pyarrow.Table.from_arrays(together, schema=schema))


def _fits(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Fit]:
    fits = {name: Fit() for name in names}
    for row in rows:
        for name, fit in fits.items():
            fit.see(row.get(name))
    return fits


def _field(name: str, fit: Fit, void: type) -> Any:
    """A column's name and type; one without any value is of the kind `void`."""
    import pyarrow

    if fit.kind is list:
        inner = pyarrow.null() if fit.inner is None else pyarrow.type_for_alias(_TYPES[fit.inner])
        return pyarrow.field(name, pyarrow.list_(inner))
    return pyarrow.field(name, pyarrow.type_for_alias(_TYPES[fit.kind or void]))


def _parquet_parts(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        row_bytes = sum(each.total_byte_size for each in groups) / max(1, file.metadata.num_rows)
        fitting = int(_PARQUET_BYTES / max(1.0, row_bytes))
        yield from file.iter_batches(batch_size=min(_PARQUET_ROWS, max(1, fitting)))


def _batch(rows: Sequence[Mapping[str, Any]], schema: Any, fits: Mapping[str, Fit]) -> Any:
    """Rows as Arrow has them."""
    import pyarrow

    columns = [
        pyarrow.array(list(map(fit.convert, [row.get(name) for row in rows])), kind)
        for (name, fit), kind in zip(fits.items(), schema.types, strict=True)
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=schema)


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if len(group) >= _PARQUET_ROWS or size >= _PARQUET_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _whole(row: Row) -> Row:
    return {
        name: value.encode(errors=_BROKEN).decode()
        if isinstance(value, str) and not is_unicode(value)
        else value
        for name, value in row.items()
    }
