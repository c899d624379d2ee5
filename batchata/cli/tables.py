"""Files of rows as tables: read whole, and written with their answers, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.core.job import is_unicode
from batchata.frames.output import Columns, columns_of
from batchata.frames.packs import RowAnswer
from batchata.frames.schema import AnswerSchema
from batchata.rows.columns import fitting, free_name
from batchata.rows.files import Row, plain, read_rows

#: half a surrogate pair, which JSON can name and UTF-8 cannot hold, is written as JSON names it
_BROKEN: Final = "backslashreplace"
#: Parquet's names for what a column without any value would hold
_VOID: Final = {str: "string", int: "int64", float: "float64", bool: "bool"}


@dataclass(slots=True)
class FileTable:
    """The rows of a file."""

    path: Path
    columns: list[str]
    rows: list[Row]

    def id_column(self, given: str | None) -> str | None:
        """The column of ids; None where rows are numbered."""
        if given is not None:
            self._check(given)
            return given
        return "id" if "id" in self.columns else None

    def pairs(self, id_column: str | None, text_column: str) -> Iterator[tuple[Any, Any]]:
        """Id and text of each row; ValidationError when there are no such texts."""
        self._check(text_column)
        is_csv = self.path.suffix.lower() == ".csv"
        for number, row in enumerate(self.rows, 1):
            text = row.get(text_column)
            row_id = number if id_column is None else row.get(id_column)
            yield row_id, None if is_csv and text == "" else text

    def texts(self, text_column: str, numbers: Sequence[int]) -> list[Any]:
        """The texts of these rows."""
        return [self.rows[number].get(text_column) for number in numbers]

    def _check(self, column: str) -> None:
        if column not in self.columns:
            raise ValidationError(
                f"{self.path} has no column {column!r}",
                hint=f"its columns are: {', '.join(self.columns) or 'none'}",
            )


def read_table(path: Path) -> FileTable:
    """All rows of a file; ValidationError when it has none."""
    rows = [row for _, row in read_rows(path)]
    if not rows:
        raise ValidationError(f"{path} has no rows", hint="give a file with at least one row")
    return FileTable(path, list(dict.fromkeys(str(name) for row in rows for name in row)), rows)


def write_table(
    table: FileTable, ended: Iterable[RowAnswer], schema: AnswerSchema | None, target: Path
) -> None:
    """Write the rows with their answers; a file that is there is replaced in one step."""
    answers, made = Columns({}, {}), columns_of(ended, schema)
    for name, values in made.values.items():
        free = free_name(name, {*table.columns, *answers.values}, "answer_")
        answers.values[free] = values
        if name in made.kinds:
            answers.kinds[free] = made.kinds[name]
    passing = target.with_name(f".{target.name}.part")
    suffix = target.suffix.lower()
    try:
        if suffix == ".parquet":
            _write_parquet(table, answers, passing)
        elif suffix == ".csv":
            _write_csv(table, answers.values, passing)
        else:
            _write_jsonl(table, answers.values, passing)
        passing.replace(target)
    finally:
        passing.unlink(missing_ok=True)


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not is_unicode(value):
        return value.encode(errors=_BROKEN).decode()
    return value


def _write_csv(table: FileTable, answers: dict[str, list[Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", errors=_BROKEN, newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*table.columns, *answers])
        for number, row in enumerate(table.rows):
            kept = [_cell(row.get(name)) for name in table.columns]
            writer.writerow([*kept, *(_cell(values[number]) for values in answers.values())])


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, bool)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _write_jsonl(table: FileTable, answers: dict[str, list[Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", errors=_BROKEN) as file:
        for number, row in enumerate(table.rows):
            made = {name: plain(value) for name, value in row.items()}
            made.update({name: values[number] for name, values in answers.items()})
            file.write(json.dumps(made, ensure_ascii=False, default=str) + "\n")


def _write_parquet(table: FileTable, answers: Columns, path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValidationError(
            "Parquet files need pyarrow, which is not installed",
            hint="pip install 'batchata[parquet]'",
        ) from error
    if table.path.suffix.lower() == ".parquet":
        made = pyarrow.parquet.read_table(table.path)
    else:
        columns = {name: [_whole(row.get(name)) for row in table.rows] for name in table.columns}
        made = pyarrow.table({name: fitting(values) for name, values in columns.items()})
    for name, values in answers.values.items():
        is_void = all(value is None for value in values)
        void = _VOID[answers.kinds.get(name, str)] if is_void else None
        made = made.append_column(name, pyarrow.array(fitting(values), void))
    pyarrow.parquet.write_table(made, path)
