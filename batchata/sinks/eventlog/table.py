"""Rows of the event log as Parquet: seven columns, one file per segment and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate, compress
from struct import pack
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


#: a row without its payload, as a plain tuple: thousands of them wait, and many are made at once
Head = tuple[int, str, str, str, str]


class Row(NamedTuple):
    """One event as it is stored in the log."""

    timestamp_us: int
    run_id: str
    custom_id: str
    event_type: str
    provider: str
    payload: bytes  #: JSON


class Texts:
    """Texts one after the other, as Arrow has them.

    What orjson returns takes up to eight times its size for as long as it is kept.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.sizes: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        whole, ends = self.whole, accumulate(self.sizes)
        return (whole[end - size : end] for end, size in zip(ends, self.sizes, strict=True))

    @property
    def whole(self) -> bytes:
        """All of them."""
        return b"".join(self._pieces)

    def extend(self, texts: Iterable[bytes]) -> None:
        """Add texts."""
        found = [*texts, b""]  # of one alone the join would be that one
        self._pieces.append(b"".join(found))
        self.sizes.extend(map(len, found[:-1]))


@dataclass(slots=True)
class Rows:
    """Events as they are stored in the log."""

    logger_metadata: str = "{}"  #: JSON; the same for all of them
    heads: list[Head] = field(default_factory=list)
    payloads: Texts | list[bytes] = field(default_factory=Texts)  #: JSON

    def __len__(self) -> int:
        return len(self.heads)

    def __iter__(self) -> Iterator[Row]:
        return (Row(*head, each) for head, each in zip(self.heads, self.payloads, strict=True))

    def extend(self, others: Rows) -> None:
        """Add the events of others."""
        self.heads.extend(others.heads)
        self.payloads.extend(others.payloads)

    def of_days(self) -> Iterator[Rows]:
        """The events of each day."""
        if min(self.heads)[0] // _DAY_US == max(self.heads)[0] // _DAY_US:
            yield self  # nearly always
            return
        days = [head[0] // _DAY_US for head in self.heads]
        for day in dict.fromkeys(days):
            which = [each == day for each in days]
            heads, payloads = compress(self.heads, which), compress(self.payloads, which)
            yield Rows(self.logger_metadata, [*heads], [*payloads])


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


def parquet_bytes(rows: Rows) -> Any:
    """Rows as one Parquet file in memory, zstd."""
    pyarrow = import_pyarrow()
    times, *names = zip(*rows.heads, strict=True)
    made, count = schema(), len(rows)
    stamps = pyarrow.py_buffer(pack(f"{count}q", *times))
    metadata = rows.logger_metadata.encode()
    ends = range(0, len(metadata) * count + 1, len(metadata))
    columns = [
        pyarrow.Array.from_buffers(made[0].type, count, [None, stamps]),
        *map(_text_column, names),
        _texts(metadata * count, ends),
        _text_column(rows.payloads),
    ]
    return table_bytes(pyarrow.Table.from_arrays(columns, schema=made))


def _text_column(values: Texts | Sequence[str] | Sequence[bytes]) -> Any:
    whole, sizes = _laid_out(values)
    return _texts(whole, [*accumulate(sizes, initial=0)])


def _texts(whole: bytes, ends: Sequence[int]) -> Any:
    """Texts as an Arrow array; pyarrow's own conversion imports all of pandas if installed."""
    pyarrow = import_pyarrow()
    offsets = pyarrow.py_buffer(pack(f"{len(ends)}i", *ends))
    return pyarrow.StringArray.from_buffers(len(ends) - 1, offsets, pyarrow.py_buffer(whole))


def _laid_out(
    values: Texts | Sequence[str] | Sequence[bytes],
) -> tuple[bytes, Iterable[int]]:
    """All texts one after the other, and the length of each in there."""
    if isinstance(values, Texts):
        return values.whole, values.sizes
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
    names = table.column_names
    pyarrow.parquet.write_table(
        table,
        out,
        compression="zstd",
        use_dictionary=[name for name in names if name in _REPEATING],
        # nobody looks for the least of all payloads, which are whole prompts and answers
        write_statistics=[name for name in names if name != "payload"],
    )
    pyarrow.default_memory_pool().release_unused()  # else it keeps what the largest file took
    return out.getvalue()


def files_of(rows: Rows, segment: str, partition_on: PartitionOn) -> Iterator[tuple[str, Rows]]:
    """The files that a segment becomes, as path below the log and rows.

    The path follows from the rows and the segment's name alone, so that a segment that is written
    again after a crash takes its own place.
    """
    if not rows:
        return
    for found in rows.of_days() if partition_on == "date" else (rows,):
        first = datetime.fromtimestamp(found.heads[0][0] / 1e6, UTC)
        folder = f"date={first:%Y-%m-%d}/" if partition_on == "date" else ""
        yield f"{folder}logs_{first:%H%M%S_%f}_{segment}.parquet", found
