"""Files of rows as Arrow batches: Parquet, CSV and JSONL, in flat memory."""

from __future__ import annotations

import base64
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow
import pyarrow.parquet

from batchata.core.errors import ValidationError
from batchata.core.json_bytes import json_bytes
from batchata.core.template import is_missing
from batchata.rows.reading import (
    Lines,
    csv_header,
    csv_rows,
    json_rows,
    no_rows,
    opened_parquet,
    opened_text,
)

_BATCH_ROWS: Final = 5_000


class Index(msgspec.Struct, frozen=True):
    """What must be known about a file before it is read in parts."""

    chunks: list[tuple[int, int]]  #: where each begins (row group, or byte), and its rows
    schema: str  #: Arrow's, in base64

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return sum(rows for _, rows in self.chunks)


class RowFile(ABC):
    """The rows of a file, in chunks at which reading can start."""

    is_text = False  #: every column is text, whatever is in it

    def __init__(self, path: Path, index: Index | None = None) -> None:
        self.path = path
        self.index = index or self._look()
        buffer = pyarrow.py_buffer(base64.b64decode(self.index.schema))
        self.schema: pyarrow.Schema = pyarrow.ipc.read_schema(buffer)

    @abstractmethod
    def _look(self) -> Index:
        """Go through the file once."""

    @abstractmethod
    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a chunk, a few thousand at a time, never across chunks."""


class ParquetRows(RowFile):
    """A Parquet file; its chunks are row groups."""

    def _look(self) -> Index:
        with opened_parquet(self.path) as file:
            groups = range(file.metadata.num_row_groups)
            rows = [(each, file.metadata.row_group(each).num_rows) for each in groups]
            return Index(rows, _packed(_without_views(file.schema_arrow)))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a row group."""
        with opened_parquet(self.path) as file:
            schema = _without_views(file.schema_arrow)
            for group in range(chunk, file.metadata.num_row_groups):
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                    yield batch if batch.schema == schema else batch.cast(schema)


class CsvRows(RowFile):
    """A CSV file with a header; all values are text, and empty ones are missing."""

    is_text = True

    def _look(self) -> Index:
        chunks: list[tuple[int, int]] = []
        with opened_text(self.path) as file:
            lines = Lines(self.path, file)
            names = csv_header(self.path, lines)
            begin, rows = lines.offset, 0
            for _ in csv_rows(lines, names):
                rows += 1
                if rows == _BATCH_ROWS:
                    chunks.append((begin, rows))
                    begin, rows = lines.offset, 0
            if rows:
                chunks.append((begin, rows))
        schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
        return Index(chunks, _packed(schema))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a chunk."""
        with opened_text(self.path) as file:
            for begin, count in self.index.chunks[chunk:]:
                file.seek(begin)
                rows = islice(csv_rows(Lines(self.path, file), self.schema.names), count)
                columns = list(map(list, zip(*rows, strict=True)))
                yield pyarrow.record_batch(columns, schema=self.schema)


class JsonRows(RowFile):
    """A file with a JSON object per line; a column of mixed kinds becomes text."""

    def _look(self) -> Index:
        chunks: list[tuple[int, int]] = []
        kinds: dict[str, pyarrow.DataType] = {}
        with opened_text(self.path) as file:
            lines = Lines(self.path, file)
            found, begin = json_rows(lines), 0
            while rows := list(islice(found, _BATCH_ROWS)):
                chunks.append((begin, len(rows)))
                begin = lines.offset
                self._learn(kinds, rows)
        schema = pyarrow.schema(
            [
                (name, pyarrow.string() if pyarrow.types.is_null(kind) else kind)
                for name, kind in kinds.items()
            ]
        )
        return Index(chunks, _packed(schema))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a chunk."""
        with opened_text(self.path) as file:
            for begin, count in self.index.chunks[chunk:]:
                file.seek(begin)
                rows = list(islice(json_rows(Lines(self.path, file)), count))
                columns = [_column(rows, field.name, field.type) for field in self.schema]
                yield pyarrow.record_batch(columns, schema=self.schema)

    def _learn(self, kinds: dict[str, pyarrow.DataType], rows: Sequence[Mapping[str, Any]]) -> None:
        for name in dict.fromkeys(name for row in rows for name in row):
            values = [row.get(name) for row in rows]
            try:
                kinds[name] = _common_kind(name, kinds.get(name), values)
            except UnicodeError as error:
                raise ValidationError(
                    f"{self.path} has text in column {name!r} that is not valid Unicode: {error}"
                ) from error


_READERS: Final[Mapping[str, type[RowFile]]] = {
    ".parquet": ParquetRows,
    ".csv": CsvRows,
    ".jsonl": JsonRows,
    ".ndjson": JsonRows,
}


def open_rows(path: Path, index: Index | None = None) -> RowFile:
    """The rows of a file, by its ending; ValidationError when it cannot be read or has none."""
    if not path.is_file():
        raise ValidationError(
            f"there is no file {str(path)!r}", hint="data.input_path names the file of rows"
        )
    file = _READERS[path.suffix.lower()](path, index)
    if not file.index.rows:
        raise no_rows(path)
    return file


def digest_of(path: Path) -> str:
    """A digest of a file's content."""
    with path.open("rb") as file:
        made = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return made.hexdigest()


def _without_views(schema: pyarrow.Schema) -> pyarrow.Schema:
    """The schema without string views, which Arrow cannot take, filter or sort."""
    fields = [each.with_type(_without_view(each.type)) for each in schema]
    return pyarrow.schema(fields, metadata=schema.metadata)


def _without_view(kind: pyarrow.DataType) -> pyarrow.DataType:
    types = pyarrow.types
    if types.is_string_view(kind):
        return pyarrow.large_string()
    if types.is_binary_view(kind):
        return pyarrow.large_binary()
    if types.is_struct(kind):
        return pyarrow.struct([each.with_type(_without_view(each.type)) for each in kind])
    for is_list, made in (
        (types.is_list, pyarrow.list_),
        (types.is_large_list, pyarrow.large_list),
    ):
        if is_list(kind):
            return made(kind.value_field.with_type(_without_view(kind.value_type)))
    return kind


def _packed(schema: pyarrow.Schema) -> str:
    plain = schema.remove_metadata()
    return base64.b64encode(plain.serialize().to_pybytes()).decode()


def _common_kind(
    name: str, known: pyarrow.DataType | None, values: Sequence[Any]
) -> pyarrow.DataType:
    try:
        kind = pyarrow.array(values).type
        both = [pyarrow.schema([(name, each)]) for each in (known or kind, kind)]
        return pyarrow.unify_schemas(both, promote_options="permissive").field(0).type
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.array(map(_text, values), pyarrow.string()).type


def _column(rows: Iterable[Mapping[str, Any]], name: str, kind: pyarrow.DataType) -> Any:
    values = [row.get(name) for row in rows]
    if pyarrow.types.is_string(kind):
        values = [_text(value) for value in values]
    return pyarrow.array(values, kind)


def _text(value: Any) -> str | None:
    if is_missing(value) or isinstance(value, str):
        return value if isinstance(value, str) else None
    return json_bytes(value).decode()
