"""Reads rows of JSONL, CSV and Parquet files one at a time, so any size takes flat memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.rows.reading import (
    Lines,
    csv_header,
    csv_rows,
    json_rows,
    no_rows,
    opened_parquet,
    opened_text,
)

Row = Mapping[str, Any]
_PARQUET_ROWS: Final = 1_000


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Rows with where they are, such as "data.csv line 7"; ValidationError if there are none."""
    return _at_least_one(path, reader_of(path)(path))


def _at_least_one(path: Path, rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, Row]]:
    is_empty = True
    for each in rows:
        is_empty = False
        yield each
    if is_empty:
        raise no_rows(path)


def reader_of(path: Path) -> Callable[[Path], Iterator[tuple[str, Row]]]:
    """The reader for this kind of file; ValidationError if there is none."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValidationError(
            f"{str(path)!r} is not a file of rows",
            hint=f"give a file that ends in {', '.join(_READERS)}",
        )
    return reader


def plain(value: Any) -> Any:
    """Dates, decimals and the like as text, as JSON cannot represent them."""
    if value is None or isinstance(value, (str, int, float, list, dict)):
        return value
    return str(value)


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with opened_text(path) as file:
        lines = Lines(path, file)
        for row in json_rows(lines):
            yield lines.where, row


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with opened_text(path) as file:
        lines = Lines(path, file)
        names = csv_header(path, lines)
        for row in csv_rows(lines, names):
            yield lines.where, dict(zip(names, row, strict=True))


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    number = 0
    with opened_parquet(path) as file:
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
