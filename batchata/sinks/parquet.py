"""Final results as a table in parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batchata.core.errors import ResultsError
from batchata.core.json_bytes import json_bytes
from batchata.core.result import JobResult
from batchata.disk.atomic import atomic_file, sync_files
from batchata.sinks.results import disk_errors

_PART_ROWS = 50_000


class ParquetParts:
    """Parts of a table, `results-00001.parquet` and on; nested values are JSON text."""

    def __init__(self, folder: Path, mark: int = 0) -> None:
        self._folder = folder
        self._rows: list[dict[str, Any]] = []
        self._unsynced: list[Path] = []
        self._pyarrow, self._parquet = import_pyarrow()
        self.mark = mark  #: parts that the state file knows of
        with disk_errors(folder):
            #: ids in parts it does not know of
            self.known = self._known_ids()

    @property
    def is_due(self) -> bool:
        """True when nothing is held back and there is something to sync to disk."""
        return bool(self._unsynced) and not self._rows

    def write(self, results: Sequence[JobResult]) -> None:
        """Take rows; a part is written once there are enough for one."""
        self._rows.extend(_flat(result) for result in results)
        while len(self._rows) >= _PART_ROWS:
            self._part(self._rows[:_PART_ROWS])
            del self._rows[:_PART_ROWS]

    def show(self) -> None:
        """Do nothing: small parts would make a bad table."""

    def flush(self) -> None:
        """Write what is held back as a part of its own, and sync all parts to disk."""
        if self._rows:
            self._part(self._rows)
            self._rows = []
        with disk_errors(self._folder):
            sync_files(self._folder, self._unsynced)
        self._unsynced.clear()

    def compact(self) -> None:
        """Keep only the last row of each job."""
        seen: set[str] = set()
        for number in range(self.mark, 0, -1):
            path = self._path(number)
            if not path.exists():
                continue
            with disk_errors(path):
                table = self._parquet.read_table(path)
            ids = table.column("job_id").to_pylist()
            keeps = [False] * len(ids)
            for row in range(len(ids) - 1, -1, -1):
                keeps[row] = ids[row] not in seen
                seen.add(ids[row])
            if not all(keeps):
                self._write(path, table.filter(self._pyarrow.array(keeps)))
        self.flush()

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _part(self, rows: list[dict[str, Any]]) -> None:
        self.mark = last_part(self._folder) + 1
        table = self._pyarrow.Table.from_pylist(rows, schema=_schema(self._pyarrow))
        self._write(self._path(self.mark), table)

    def _write(self, path: Path, table: Any) -> None:
        with disk_errors(path), atomic_file(path, durable=False) as part:
            self._parquet.write_table(table, part, compression="zstd")
        self._unsynced.append(path)

    def _path(self, number: int) -> Path:
        return self._folder / f"results-{number:05d}.parquet"

    def _known_ids(self) -> set[str]:
        known: set[str] = set()
        for number in range(self.mark + 1, last_part(self._folder) + 1):
            if self._path(number).exists():
                table = self._parquet.read_table(self._path(number), columns=["job_id"])
                known.update(table.column("job_id").to_pylist())
                self.mark = number
                self._unsynced.append(self._path(number))
        return known


def last_part(folder: Path) -> int:
    """The number of the last part in a folder; 0 when there is none."""
    numbers = [path.stem.removeprefix("results-") for path in folder.glob("results-*.parquet")]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


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


def _flat(result: JobResult) -> dict[str, Any]:
    row = result.to_dict()
    for name in ("parsed_response", "citations", "citation_mappings", "metadata", "extra"):
        if row[name] is not None:
            row[name] = json_bytes(row[name]).decode()
    return row


def _schema(pyarrow: Any) -> Any:
    integers = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    kinds = {
        **dict.fromkeys((*integers, "reasoning_tokens", "attempts"), pyarrow.int64()),
        "cost_usd": pyarrow.float64(),
    }
    names = JobResult("").to_dict()
    return pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in names])
