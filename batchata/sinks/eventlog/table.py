"""Rows of the event log as Parquet: seven columns, one file per segment and day."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Final, Literal, NamedTuple, cast

from batchata.core.errors import EventLogError

COLUMNS: Final = (
    "timestamp",
    "run_id",
    "logger_custom_id",
    "event_type",
    "provider",
    "logger_metadata",
    "payload",
)
#: columns with few distinct values
_REPEATING: Final = frozenset({"event_type", "provider", "logger_metadata"})
PartitionOn = Literal["date"] | None
_DAY_US: Final = 86_400_000_000


class Row(NamedTuple):
    """One event as it is stored in the log."""

    timestamp_us: int
    run_id: str
    custom_id: str
    event_type: str
    provider: str
    logger_metadata: str  #: JSON
    payload: bytes  #: JSON


def import_pyarrow() -> Any:
    """pyarrow with its parts; EventLogError that names the extra when it is missing."""
    # pyarrow imports this with its first array, which fails at exit
    import concurrent.futures.thread  # noqa: F401

    try:
        import pyarrow
        import pyarrow.fs
        import pyarrow.parquet
    except ImportError as error:
        raise EventLogError(
            "the event log needs pyarrow, which is not installed",
            hint="pip install 'batchata[events]'",
        ) from error
    return pyarrow


def schema() -> Any:
    """The seven columns: the time in µs UTC, and all others as text."""
    pyarrow = import_pyarrow()
    time = pyarrow.timestamp("us", tz="UTC")
    kinds = [time, *[pyarrow.string()] * (len(COLUMNS) - 1)]
    return pyarrow.schema(list(zip(COLUMNS, kinds, strict=True)))


def parquet_bytes(rows: Sequence[Row]) -> Any:
    """Rows as one Parquet file in memory, zstd."""
    pyarrow = import_pyarrow()
    made = schema()
    times, *texts = zip(*rows, strict=True)
    stamps = pyarrow.py_buffer(array("q", times))
    columns = [
        pyarrow.Array.from_buffers(made[0].type, len(rows), [None, stamps]),
        *(_text_column(column) for column in texts),
    ]
    return table_bytes(pyarrow.Table.from_arrays(columns, schema=made))


def _text_column(values: Sequence[str] | Sequence[bytes]) -> Any:
    """Texts as an Arrow array; pyarrow's own conversion imports all of pandas if installed."""
    pyarrow = import_pyarrow()
    whole, sizes = _laid_out(values)
    offsets = array("i", accumulate(sizes, initial=0))
    return pyarrow.StringArray.from_buffers(
        len(values), pyarrow.py_buffer(offsets), pyarrow.py_buffer(whole)
    )


def _laid_out(values: Sequence[str] | Sequence[bytes]) -> tuple[bytes, Iterable[int]]:
    """All texts one after the other, and the length of each in there."""
    if isinstance(values[0], str):
        texts = cast(Sequence[str], values)
        whole = "".join(texts)
        if whole.isascii():
            return whole.encode(), map(len, texts)
        values = [each.encode("utf-8", "replace") for each in texts]
    data = cast(Sequence[bytes], values)
    return b"".join(data), map(len, data)


def table_bytes(table: Any) -> Any:
    """A table as one Parquet file in memory, zstd."""
    pyarrow = import_pyarrow()
    out = pyarrow.BufferOutputStream()
    repeating = [name for name in table.column_names if name in _REPEATING]
    pyarrow.parquet.write_table(table, out, compression="zstd", use_dictionary=repeating)
    return out.getvalue()


def files_of(
    rows: Iterable[Row], segment: str, partition_on: PartitionOn
) -> Iterator[tuple[str, list[Row]]]:
    """The files that a segment becomes, as path below the log and rows.

    The path follows from the rows and the segment's name alone, so that a segment that is written
    again after a crash takes its own place.
    """
    days: dict[int, list[Row]] = {}
    for row in rows:
        day = row.timestamp_us // _DAY_US if partition_on == "date" else 0
        days.setdefault(day, []).append(row)
    for found in days.values():
        first = _moment(found[0].timestamp_us)
        folder = f"date={first:%Y-%m-%d}/" if partition_on == "date" else ""
        yield f"{folder}logs_{first:%H%M%S_%f}_{segment}.parquet", found


def _moment(timestamp_us: int) -> datetime:
    return datetime.fromtimestamp(timestamp_us / 1e6, UTC)
