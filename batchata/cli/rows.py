"""Rows of JSONL, CSV and Parquet files, one at a time, and the jobs made of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from batchata.cli.template import Template
from batchata.core.errors import ValidationError

Row = Mapping[str, Any]
#: what a row must have when there is no template
_QUESTIONS: Final = ("prompt", "messages")


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows with the place they stand at, as "data.csv line 7"."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValidationError(
            f"{str(path)!r} is no file of rows",
            hint=f"give a file that ends in {', '.join(_READERS)}",
        )
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}",
            hint="save it as UTF-8",
        ) from error


def read_jobs(path: Path, prompt: Template | None, id_column: str | None) -> Iterator[Row]:
    """Arguments of `Batch.add_job` for each row; columns that are not asked become metadata."""
    is_empty = True
    for where, row in read_rows(path):
        is_empty = False
        yield _job(row, where, prompt, id_column)
    if is_empty:
        raise ValidationError(f"{path} has no rows", hint="give a file with at least one row")


def _job(row: Row, where: str, prompt: Template | None, id_column: str | None) -> Row:
    job: dict[str, Any] = {}
    used = {id_column}
    if prompt is not None:
        prompt.check(row, where)
        job["prompt"] = prompt.fill(row)
        used.update(prompt.columns)
    else:
        name = next((name for name in _QUESTIONS if row.get(name)), None)
        if name is None:
            raise ValidationError(
                f"{where} has neither 'prompt' nor 'messages'",
                hint='give --prompt "... {column} ...", with the columns '
                + ", ".join(map(str, row)),
            )
        job[name] = row[name]
        used.add(name)
    if id_column is not None:
        job["id"] = _id(row, where, id_column)
    metadata = {name: value for name, value in row.items() if name not in used}
    if metadata:
        job["metadata"] = metadata
    return job


def _id(row: Row, where: str, column: str) -> str:
    value = row.get(column)
    if value is None or not str(value).strip():
        raise ValidationError(
            f"{where} has no id in column {column!r}",
            hint=f"its columns are: {', '.join(map(str, row))}; each row needs an id of its own",
        )
    return str(value)


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValidationError(
                    f"{where} is no JSON: {error}", hint="each line is one JSON object"
                ) from error
            if not isinstance(row, dict):
                raise ValidationError(
                    f"{where} is a {type(row).__name__}", hint="each line is one JSON object"
                )
            yield where, row


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            where = f"{path.name} line {reader.line_num}"
            if None in row or None in row.values():
                raise ValidationError(
                    f"{where} does not have {len(reader.fieldnames or ())} values like the header",
                    hint="put values with commas or line breaks into double quotes",
                )
            yield where, row


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ValidationError(
            "Parquet files need pyarrow, which is not installed",
            hint="pip install 'batchata[parquet]'",
        ) from error
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValidationError(f"{path} is no Parquet file: {error}") from error
    with file:
        for part in file.iter_batches(batch_size=1000):
            for row in part.to_pylist():
                number += 1
                yield f"{path.name} row {number}", {name: _plain(row[name]) for name in row}


def _plain(value: Any) -> Any:
    """Dates, decimals and the like as text: JSON has no words for them."""
    if value is None or isinstance(value, (str, int, float, list, dict)):
        return value
    return str(value)


_READERS: Final[dict[str, Callable[[Path], Iterator[tuple[str, Row]]]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
