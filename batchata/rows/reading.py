"""How files of rows are read: one set of rules, for rows one by one and for columns.

Text is UTF-8, with or without a byte order mark; lines may end as on any system, and empty ones
are skipped. A CSV file has a header, and every row as many values as it: texts, and none where
a cell is empty, in quotes or not. Each line of a JSONL file is an object; its numbers may be of any
size, and a value may be NaN. No two columns share a name. Anything else is a ValidationError
that names the line.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from batchata.core.errors import ValidationError

_BOM: Final = b"\xef\xbb\xbf"
_BUFFER_BYTES: Final = 1 << 20
#: a line in bytes that end with "\n"; a "\r" ends one too
_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")


class Lines:
    """Lines of a file as text, from any byte on, with the byte at which the next one begins."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._name = path.name
        self._file = file
        self._pieces: deque[bytes] = deque()  #: further lines of the last read
        self.number = 0  #: of the line read last, counted from where reading began
        self.offset = file.tell()

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._pieces.popleft() if self._pieces else self._file.readline()
        if 0 <= line.find(b"\r") < len(line.removesuffix(b"\r\n")) - 1:
            line, *more = _LINE.findall(line)
            self._pieces.extendleft(reversed(more))
        if not line:
            raise StopIteration
        text = line if self.offset else line.removeprefix(_BOM)
        self.offset += len(line)
        self.number += 1
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise ValidationError(
                f"{self.where} is not UTF-8: {error.reason}", hint="save it as UTF-8"
            ) from error

    @property
    def where(self) -> str:
        """Where the line read last is, such as "data.csv line 7"."""
        return f"{self._name} line {self.number}"


@contextmanager
def opened_text(path: Path) -> Iterator[BinaryIO]:
    """A file opened for `Lines`."""
    with path.open("rb", buffering=_BUFFER_BYTES) as file:
        yield file


def csv_header(path: Path, lines: Lines) -> list[str]:
    """The column names from the next line that is not empty."""
    names = next(_records(lines), [])
    if not names:
        raise ValidationError(f"{path} has no header with names of its columns")
    check_names(path, names)
    return names


def csv_rows(lines: Lines, names: Sequence[str]) -> Iterator[list[str | None]]:
    """The rows from here on, with these columns; an empty cell has no value."""
    for row in _records(lines):
        if len(row) != len(names):
            raise ValidationError(
                f"{lines.where} has {len(row)} values for {len(names)} columns",
                hint="put values with commas or line breaks into double quotes",
            )
        yield [value or None for value in row]


def _records(lines: Lines) -> Iterator[list[str]]:
    csv.field_size_limit(2**31 - 1)
    try:
        yield from filter(None, csv.reader(lines))  # an empty line is an empty record
    except csv.Error as error:
        raise ValidationError(f"{lines.where} is no CSV: {error}") from error


def json_rows(lines: Lines) -> Iterator[dict[str, Any]]:
    """The rows from here on."""
    for line in lines:
        if not line.strip():
            continue
        row = _value(line, lines.where)
        if not isinstance(row, dict):
            raise ValidationError(
                f"{lines.where} is a {type(row).__name__}", hint="each line is one JSON object"
            )
        yield row


def _value(line: str, where: str) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        pass  # it may be a NaN, or half a surrogate pair
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValidationError(
            f"{where} is no JSON: {error}", hint="each line is one JSON object"
        ) from error


def no_rows(path: Path) -> ValidationError:
    """The error for a file without rows."""
    return ValidationError(f"{path} has no rows", hint="give a file with at least one row")


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise ValidationError when two columns share a name, as one would hide the other."""
    twice = [repr(name) for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValidationError(
            f"{path} has several columns named {', '.join(twice)}",
            hint="give each column a unique name",
        )


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


@contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """An open Parquet file, checked to have unique column names."""
    pyarrow = import_pyarrow()
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowNotImplementedError as error:
        raise ValidationError(
            f"{path} has a column of a type that cannot be read: {error}",
            hint="write it with another type, such as 64-bit integers",
        ) from error
    except pyarrow.ArrowException as error:
        raise ValidationError(f"{path} is no Parquet file: {error}") from error
    with file:
        check_names(path, file.schema_arrow.names)
        yield file
