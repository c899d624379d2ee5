"""Files of rows as Arrow batches: Parquet, CSV and JSONL, in flat memory."""

from __future__ import annotations

import base64
import csv
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import orjson
import pyarrow
import pyarrow.parquet

from batchata.core.errors import ValidationError

_BATCH_ROWS: Final = 5_000


class Index(msgspec.Struct, frozen=True):
    """What is to be known of a file before it is read in parts."""

    chunks: list[tuple[int, int]]  #: where it begins (row group, or byte), rows
    schema: str  #: Arrow's, in base64

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return sum(rows for _, rows in self.chunks)


class RowFile(ABC):
    """The rows of a file, in chunks that can be begun at."""

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
        with self._opened() as file:
            groups = range(file.metadata.num_row_groups)
            rows = [(each, file.metadata.row_group(each).num_rows) for each in groups]
            _check_names(self.path, file.schema_arrow.names)
            return Index(rows, _packed(_without_views(file.schema_arrow)))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a row group."""
        with self._opened() as file:
            schema = _without_views(file.schema_arrow)
            for group in range(chunk, file.metadata.num_row_groups):
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group]):
                    yield batch if batch.schema == schema else batch.cast(schema)

    @contextmanager
    def _opened(self) -> Iterator[pyarrow.parquet.ParquetFile]:
        try:
            file = pyarrow.parquet.ParquetFile(self.path)
        except pyarrow.ArrowNotImplementedError as error:
            raise ValidationError(
                f"{self.path} has a column of a type that cannot be read: {error}",
                hint="write it with another type, as 64 bits for whole numbers",
            ) from error
        except pyarrow.ArrowException as error:
            raise ValidationError(f"{self.path} is no Parquet file: {error}") from error
        with file:
            yield file


class CsvRows(RowFile):
    """A CSV file with a header; all values are texts, and an empty one is missing."""

    is_text = True

    def _look(self) -> Index:
        chunks: list[tuple[int, int]] = []
        names: list[str] = []
        with _opened(self.path) as file:
            lines = _Lines(self.path, file)
            reader = csv.reader(lines)
            names = next(reader, [])
            if not names:
                raise ValidationError(f"{self.path} has no header with names of its columns")
            _check_names(self.path, names)
            begin, rows = lines.offset, 0
            for row in reader:
                if row and len(row) != len(names):
                    raise ValidationError(
                        f"{self.path.name} line {reader.line_num} has {len(row)} values for "
                        f"{len(names)} columns",
                        hint="put values with commas or line breaks into double quotes",
                    )
                rows += bool(row)
                if rows == _BATCH_ROWS:
                    chunks.append((begin, rows))
                    begin, rows = lines.offset, 0
            if rows:
                chunks.append((begin, rows))
        schema = pyarrow.schema([(name, pyarrow.string()) for name in names])
        return Index(chunks, _packed(schema))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a chunk."""
        with _opened(self.path) as file:
            for begin, count in self.index.chunks[chunk:]:
                file.seek(begin)
                reader = csv.reader(_Lines(self.path, file))
                rows: list[list[str]] = []
                while len(rows) < count:
                    row = next(reader)
                    if row:
                        rows.append(row)
                columns = [
                    [value or None for value in column] for column in zip(*rows, strict=True)
                ]
                yield pyarrow.record_batch(columns, schema=self.schema)


class JsonRows(RowFile):
    """A file with a JSON object on each line; values of several kinds in a column become texts."""

    def _look(self) -> Index:
        chunks: list[tuple[int, int]] = []
        kinds: dict[str, pyarrow.DataType] = {}
        with _opened(self.path) as file:
            lines = _Lines(self.path, file)
            begin: int = 0
            while rows := _objects(lines, _BATCH_ROWS):
                chunks.append((begin, len(rows)))
                begin = lines.offset
                _learn(kinds, rows)
        schema = pyarrow.schema(
            [
                (name, pyarrow.string() if pyarrow.types.is_null(kind) else kind)
                for name, kind in kinds.items()
            ]
        )
        return Index(chunks, _packed(schema))

    def batches(self, chunk: int = 0) -> Iterator[pyarrow.RecordBatch]:
        """The rows from the beginning of a chunk."""
        with _opened(self.path) as file:
            for begin, count in self.index.chunks[chunk:]:
                file.seek(begin)
                rows = _objects(_Lines(self.path, file), count)
                columns = [_column(rows, field.name, field.type) for field in self.schema]
                yield pyarrow.record_batch(columns, schema=self.schema)


class _Lines:
    """Lines of a file as text, with the byte that the next one begins at."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._name = path.name
        self._file = file
        self.number = 0
        self.offset = file.tell()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        if not self.offset:
            line = line.removeprefix(b"\xef\xbb\xbf")
        self.number += 1
        self.offset = self._file.tell()
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            raise ValidationError(
                f"{self._name} line {self.number} is not UTF-8: {error.reason}",
                hint="save it as UTF-8",
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
    csv.field_size_limit(2**31 - 1)
    file = _READERS[path.suffix.lower()](path, index)
    if not file.index.rows:
        raise ValidationError(f"{path} has no rows", hint="give a file with at least one row")
    return file


def digest_of(path: Path) -> str:
    """What stands for the content of a file."""
    with path.open("rb") as file:
        made = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    return made.hexdigest()


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValidationError(
            f"{path.name} has several columns {twice[0]!r}", hint="give each a name of its own"
        )


def _without_views(schema: pyarrow.Schema) -> pyarrow.Schema:
    """A schema whose texts can be taken, filtered and sorted: Arrow cannot do that with views."""
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


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb", buffering=1 << 20) as file:
        yield file


def _objects(lines: _Lines, most: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ValidationError(
                f"line {lines.number} is no JSON: {error}", hint="each line is one JSON object"
            ) from error
        if not isinstance(row, dict):
            raise ValidationError(
                f"line {lines.number} is a {type(row).__name__}",
                hint="each line is one JSON object",
            )
        rows.append(row)
        if len(rows) == most:
            break
    return rows


def _learn(kinds: dict[str, pyarrow.DataType], rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        try:
            kind = pyarrow.array(values).type
            known = kinds.get(name, kind)
            both = [pyarrow.schema([(name, each)]) for each in (known, kind)]
            kinds[name] = pyarrow.unify_schemas(both, promote_options="permissive").field(0).type
        except (pyarrow.ArrowException, OverflowError):
            kinds[name] = pyarrow.string()


def _column(rows: Iterable[Mapping[str, Any]], name: str, kind: pyarrow.DataType) -> Any:
    values = [row.get(name) for row in rows]
    if pyarrow.types.is_string(kind):
        values = [_text(value) for value in values]
    return pyarrow.array(values, kind)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
