"""Rows of JSONL, CSV and Parquet files, one at a time: a file of any size in flat memory."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import ValidationError

Row = Mapping[str, Any]
_PARQUET_ROWS: Final = 1_000


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows with the place they stand at, as "data.csv line 7"."""
    reader = reader_of(path)
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"{path} is not UTF-8: {error.reason} at byte {error.start}",
            hint="save it as UTF-8",
        ) from error


def reader_of(path: Path) -> Callable[[Path], Iterator[tuple[str, Row]]]:
    """What reads this kind of file; ValidationError when nothing does."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValidationError(
            f"{str(path)!r} is no file of rows",
            hint=f"give a file that ends in {', '.join(_READERS)}",
        )
    return reader


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Raise ValidationError when two columns have the same name: one would hide the other."""
    twice = [repr(name) for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValidationError(
            f"{path} has several columns named {', '.join(twice)}",
            hint="give each column a name of its own",
        )


def plain(value: Any) -> Any:
    """Dates, decimals and the like as text: JSON has no words for them."""
    if value is None or isinstance(value, (str, int, float, list, dict)):
        return value
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
        _check_names(path, reader.fieldnames or ())
        for row in reader:
            where = f"{path.name} line {reader.line_num}"
            if None in row or None in row.values():
                raise ValidationError(
                    f"{where} does not have {len(reader.fieldnames or ())} values like the header",
                    hint="put values with commas or line breaks into double quotes",
                )
            yield where, row


def import_pyarrow() -> Any:
    """pyarrow with its Parquet part; ValidationError that names the extra when it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValidationError(
            "Parquet files need pyarrow, which is not installed",
            hint="pip install 'batchata[parquet]'",
        ) from error
    return pyarrow


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    pyarrow = import_pyarrow()
    number = 0
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValidationError(f"{path} is no Parquet file: {error}") from error
    with file:
        _check_names(path, file.schema_arrow.names)
        for part in file.iter_batches(batch_size=_PARQUET_ROWS):
            for row in part.to_pylist():
                number += 1
                yield f"{path.name} row {number}", row


_READERS: Final[Mapping[str, Callable[[Path], Iterator[tuple[str, Row]]]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
