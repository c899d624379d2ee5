"""Rows with their answers: parts written during a run, and the output made of them."""

from __future__ import annotations

import base64
import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
import pyarrow
import pyarrow.parquet

from batchata.core.errors import ResultsError, ValidationError
from batchata.core.json_bytes import json_bytes
from batchata.core.result import JobResult
from batchata.core.usage import to_parts
from batchata.disk.atomic import atomic_file
from batchata.generate.config import Config
from batchata.generate.ledger import Tally

#: metadata key under which our Parquet files say what they are
KEY: Final = b"batchata"
#: JSON columns, and the parameter of `extra_body` that asks for each
_MORE: Final = {"logprobs": "logprobs", "tool_calls": "tools"}


class PartWriter:
    """Joins rows and answers, and writes them as Parquet."""

    def __init__(self, config: Config, schema: pyarrow.Schema) -> None:
        self._samples = config.generation.num_samples
        self._is_one_request = config.generation.one_request and self._samples > 1
        body = config.generation.extra_body
        #: what else the answers hold, if asked for
        self._more = [name for name, asks in _MORE.items() if body.get(asks)]
        self._kept = _kept_columns(config, schema, self._more)
        fields = [schema.field(name) for name in self._kept]
        fields.append(pyarrow.field(config.data.output_column, pyarrow.string()))
        fields.append(pyarrow.field("thinking_text", pyarrow.string()))
        if self._samples > 1:
            fields.append(pyarrow.field("sample_idx", pyarrow.int64()))
        fields.extend(pyarrow.field(name, pyarrow.string()) for name in self._more)
        fields.append(pyarrow.field("finish_reason", pyarrow.string()))
        fields.append(pyarrow.field("error", pyarrow.string()))
        self.schema = pyarrow.schema(fields)

    def write(self, rows: pyarrow.Table, results: Iterable[JobResult], path: Path) -> Tally:
        """Write a part, whole or not at all; `results` come in the order of rows and samples."""
        said: list[tuple[Any, ...]] = []
        cost = used = written = 0
        for result in results:
            cost += to_parts(result.cost_usd)
            used += result.input_tokens
            written += result.output_tokens
            said.extend(self._said(result))
        failed = [each for each in said if each[3] is not None]
        tally = Tally(
            answers=len(said),
            failed=len(failed),
            cut=sum(each[2] == "length" for each in said),
            input_tokens=used,
            output_tokens=written,
            cost=cost,
            error=failed[0][3] if failed else None,
        )
        self._save(self._table(rows, said), path)
        return tally

    def write_empty(self, path: Path) -> None:
        """Write a part without rows."""
        self._save(self.schema.empty_table(), path)

    def _said(self, result: JobResult) -> list[tuple[Any, ...]]:
        """Text, thoughts, finish reason, error and more of each sample in a result."""
        error = None
        if result.error is not None:
            error = f"{result.reason}: {result.error}" if result.reason else result.error
        more = self._more_of(result.extra or {})
        first = (result.raw_response, result.thinking, result.finish_reason, error, *more)
        if not self._is_one_request:
            return [first]
        choices = (result.extra or {}).get("choices") or []
        found = [
            (
                *(each.get(name) for name in ("text", "thinking", "finish_reason")),
                error,
                *self._more_of(each),
            )
            for each in choices
        ] or [first]
        why = error or f"the server gave {len(found)} of {self._samples} samples"
        none = (None, None, None, why, *self._more_of({}))
        return [*found, *[none] * (self._samples - len(found))]

    def _more_of(self, said: Mapping[str, Any]) -> list[str | None]:
        found = (said.get(name) for name in self._more)
        return [json_bytes(each).decode() if each else None for each in found]

    def _table(self, rows: pyarrow.Table, said: Sequence[tuple[Any, ...]]) -> pyarrow.Table:
        kept = rows.select(self._kept)
        if self._samples > 1:
            kept = kept.take([row for row in range(rows.num_rows) for _ in range(self._samples)])
        texts = list(zip(*said, strict=True))
        columns = [*kept.columns]
        columns.extend(pyarrow.array(_sayable(texts[each]), pyarrow.string()) for each in (0, 1))
        if self._samples > 1:
            columns.append(pyarrow.array(list(range(self._samples)) * rows.num_rows))
        more = range(4, 4 + len(self._more))
        columns.extend(
            pyarrow.array(_sayable(texts[each]), pyarrow.string()) for each in (*more, 2, 3)
        )
        return pyarrow.Table.from_arrays(columns, schema=self.schema)

    def _save(self, table: pyarrow.Table, path: Path) -> None:
        with whole_file(path) as part:
            pyarrow.parquet.write_table(table, part)


def _sayable(texts: Iterable[str | None]) -> list[str | None]:
    """Texts with `?` for lone surrogates, which some models write but no file can hold."""
    return [
        text if text is None or text.isascii() else text.encode("utf-8", "replace").decode()
        for text in texts
    ]


def _kept_columns(config: Config, schema: pyarrow.Schema, more: Sequence[str]) -> list[str]:
    asked = config.data.copy_columns
    for name in asked or ():
        if name not in schema.names:
            raise ValidationError(
                f"data.copy_columns names {name!r}, which is not a column of the input",
                hint=f"its columns are: {', '.join(schema.names)}",
            )
    kept = list(schema.names) if asked is None else list(dict.fromkeys(asked))
    ours = [config.data.output_column, "thinking_text", "finish_reason", "error", *more]
    if config.generation.num_samples > 1:
        ours.append("sample_idx")
    for name in ours:
        if name in kept:
            raise ValidationError(
                f"the input has a column {name!r} already",
                hint="name another data.output_column, or leave it out of data.copy_columns",
            )
    return kept


def join_parts(paths: Iterable[Path], target: Path, about: Mapping[str, Any]) -> None:
    """Write Parquet parts as one file, whole or not at all.

    `about` goes into the file, to say what it is. Raises ResultsError when it cannot be written.
    """
    with whole_file(target) as part:
        _WRITERS[target.suffix.lower()](_batches(paths), part, about)


def join_texts(paths: Iterable[Path], target: Path) -> None:
    """Write CSV or JSONL files as one, whole or not at all; the header is written once."""
    with whole_file(target) as part, part.open("wb") as joined:
        for number, path in enumerate(paths):
            with path.open("rb") as file:
                if number and target.suffix.lower() == ".csv":
                    _skip_header(file)
                shutil.copyfileobj(file, joined, 1 << 20)


def _skip_header(file: BinaryIO) -> None:
    quotes = 0
    while line := file.readline():
        quotes += line.count(b'"')
        if quotes % 2 == 0:  # else a name continues on the next line
            return


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """A temporary name to write to; the file gets its own once it is complete and on disk."""
    with _disk_errors(target), atomic_file(target) as part:
        yield part


def _batches(paths: Iterable[Path]) -> Iterator[pyarrow.RecordBatch]:
    for path in paths:
        with pyarrow.parquet.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                yield pyarrow.RecordBatch.from_pylist([], schema=file.schema_arrow)
            yield from file.iter_batches(batch_size=10_000)


def _write_parquet(
    batches: Iterator[pyarrow.RecordBatch], path: Path, about: Mapping[str, Any]
) -> None:
    writer = None
    try:
        for batch in batches:
            if writer is None:
                meta = {KEY: orjson.dumps(dict(about))}
                schema = batch.schema.remove_metadata().with_metadata(meta)
                writer = pyarrow.parquet.ParquetWriter(path, schema)
            writer.write_batch(batch.cast(writer.schema), row_group_size=100_000)
    finally:
        if writer is not None:
            writer.close()


def _write_csv(
    batches: Iterator[pyarrow.RecordBatch], path: Path, about: Mapping[str, Any]
) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for number, batch in enumerate(batches):
            if not number:
                writer.writerow(batch.schema.names)
            columns = [[_cell(each) for each in column.to_pylist()] for column in batch.columns]
            writer.writerows(zip(*columns, strict=True))


def _write_jsonl(
    batches: Iterator[pyarrow.RecordBatch], path: Path, about: Mapping[str, Any]
) -> None:
    with path.open("wb") as file:
        for batch in batches:
            for row in batch.to_pylist():
                file.write(orjson.dumps(row, default=_said, option=orjson.OPT_APPEND_NEWLINE))


_WRITERS: Final[Mapping[str, Callable[..., None]]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".ndjson": _write_jsonl,
}


def _cell(value: Any) -> Any:
    if isinstance(value, (dict, list, bool)):
        return orjson.dumps(value, default=_said).decode()
    return _said(value) if isinstance(value, bytes) else value


def _said(value: Any) -> str:
    """A value that JSON cannot represent, as text; bytes as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def summary_path(output: Path) -> Path:
    """The file beside an output that says how it was made."""
    return output.with_name(f"{output.name}.summary.json")


def write_summary(output: Path, about: Mapping[str, Any]) -> None:
    """Write the summary of an output, whole or not at all."""
    with whole_file(summary_path(output)) as part:
        part.write_bytes(orjson.dumps(dict(about), option=orjson.OPT_INDENT_2))


def about(output: Path) -> dict[str, Any] | None:
    """What an output, or else its summary, says about it; None for a file that is not ours."""
    if output.suffix.lower() == ".parquet":
        try:
            meta = pyarrow.parquet.read_metadata(output).metadata or {}
        except pyarrow.ArrowInvalid:
            return None
        return _read(meta.get(KEY))
    path = summary_path(output)
    return _read(path.read_bytes()) if path.exists() else None


def _read(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(data or b"null")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and "fingerprint" in found else None


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Turns disk errors into ours."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"{str(path)!r} cannot be written: {error.strerror or error}",
            hint="free some space, or choose another data.output_path; the answers are safe",
        ) from error
