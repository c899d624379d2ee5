"""Final results as files: one JSON file a job, one JSONL file, or Parquet parts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from batchata.core.config import ResultFormat
from batchata.core.errors import ResultsError
from batchata.core.job import digest
from batchata.core.result import JobResult

_PART_ROWS = 50_000
#: keys of a JSONL line that are there also when they are null
_ALWAYS = frozenset({"raw_response", "parsed_response", "error"})
_OFTEN_ZERO = frozenset({"cache_read_tokens", "cache_write_tokens", "reasoning_tokens"})


class JsonFolder:
    """`{job_id}.json` for each job, written whole or not at all."""

    known: frozenset[str] = frozenset()
    offset = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, results: Sequence[JobResult]) -> None:
        """Write each result's file; another run's file of that name is moved aside."""
        for result in results:
            path = self._folder / f"{file_name(result.job_id)}.json"
            data = orjson.dumps(result.to_dict(), option=orjson.OPT_INDENT_2)
            with _told(path):
                if path.exists():
                    if path.read_bytes() == data:
                        continue
                    move_aside(path)
                part = path.with_name(path.name + ".part")
                part.write_bytes(data)
                part.replace(path)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""


class JsonLines:
    """One line a job in `results.jsonl`, appended to; a torn last line is cut off first."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        with _told(path):
            #: ids of lines beyond what the state file knows to be here
            self.known = _known_ids(path, offset)
            self._file = path.open("ab", buffering=1024 * 1024)

    @property
    def offset(self) -> int:
        """Size of the file, in bytes."""
        return self._file.tell()

    def write(self, results: Sequence[JobResult]) -> None:
        """Append a line for each result."""
        with _told(self._path):
            self._file.write(
                b"".join(
                    orjson.dumps(_said(result), option=orjson.OPT_APPEND_NEWLINE)
                    for result in results
                )
            )

    def flush(self) -> None:
        """Bring all lines to disk."""
        with _told(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush and close the file."""
        try:
            self.flush()
        finally:
            self._file.close()


class ParquetParts:
    """Parts of a table, `results-00001.parquet` and on; nested values are JSON text."""

    known: frozenset[str] = frozenset()
    offset = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        import_pyarrow()

    def write(self, results: Sequence[JobResult]) -> None:
        """Take rows; a part is written when there are enough for one."""
        self._rows.extend(_flat(result) for result in results)
        while len(self._rows) >= _PART_ROWS:
            self._part(self._rows[:_PART_ROWS])
            del self._rows[:_PART_ROWS]

    def flush(self) -> None:
        """Write what is held back as a part of its own."""
        if self._rows:
            self._part(self._rows)
            self._rows = []

    def close(self) -> None:
        """Write the last part."""
        self.flush()

    def _part(self, rows: list[dict[str, Any]]) -> None:
        pyarrow, parquet = import_pyarrow()
        number = 1
        while (path := self._folder / f"results-{number:05d}.parquet").exists():
            number += 1
        with _told(path):
            part = path.with_name(path.name + ".part")
            parquet.write_table(
                pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow)), part, compression="zstd"
            )
            part.replace(path)


def make_sink(
    result_format: ResultFormat, folder: Path, jsonl_name: str, offset: int
) -> JsonFolder | JsonLines | ParquetParts:
    """The result sink of this format; `offset` is how much of a JSONL file is accounted for."""
    if result_format == "json":
        return JsonFolder(folder)
    if result_format == "jsonl":
        return JsonLines(folder / jsonl_name, offset)
    return ParquetParts(folder)


def make_folder(folder: Path) -> None:
    """Make the results folder; ResultsError when it cannot be written to."""
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".batchata-write-test"
        probe.write_bytes(b"")
        probe.unlink()


def import_pyarrow() -> tuple[Any, Any]:
    """pyarrow and its parquet module; ResultsError that names the extra when it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ResultsError(
            "result_format='parquet' needs pyarrow, which is not installed",
            hint="pip install 'batchata[parquet]'",
        ) from error
    return pyarrow, pyarrow.parquet


def file_name(job_id: str) -> str:
    """A file name for a job id: the id itself where that is safe."""
    if len(job_id) <= 200 and all(c.isalnum() or c in "-_." for c in job_id) and job_id[0] != ".":
        return job_id
    return "h" + digest(job_id.encode("utf-8", "surrogatepass")).hex()


def move_aside(path: Path) -> Path:
    """Rename a file that is in the way to the next free `name.N`; nothing is overwritten."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _said(result: JobResult) -> dict[str, Any]:
    """The result without what it has nothing to say of: a sixth of a million lines."""
    row = result.to_dict()
    return {
        name: value
        for name, value in row.items()
        if name in _ALWAYS or not (value is None or (value == 0 and name in _OFTEN_ZERO))
    }


def _known_ids(path: Path, offset: int) -> set[str]:
    """Ids of whole lines from `offset` on; a torn last line, ours, is cut off."""
    if not path.exists() or path.stat().st_size <= offset:
        return set()
    known: set[str] = set()
    whole = offset
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
                known.add(orjson.loads(line)["job_id"])
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return known


def _flat(result: JobResult) -> dict[str, Any]:
    row = result.to_dict()
    for name in ("parsed_response", "citations", "citation_mappings", "metadata", "extra"):
        if row[name] is not None:
            row[name] = orjson.dumps(row[name]).decode()
    return row


def _schema(pyarrow: Any) -> Any:
    integers = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    kinds = {
        **dict.fromkeys((*integers, "reasoning_tokens", "attempts"), pyarrow.int64()),
        "cost_usd": pyarrow.float64(),
    }
    names = JobResult("").to_dict()
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into a ResultsError that says what to do."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"results cannot be written to {str(path)!r}: {error.strerror or error}",
            hint="free some space or choose a folder you may write to, then run again: "
            "answers are kept in the state file",
        ) from error
