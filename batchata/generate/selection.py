"""The rows to ask about: filtered, limited, shuffled, split, and readable from any position."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow
import pyarrow.parquet

from batchata.core.errors import ValidationError
from batchata.disk.atomic import atomic_file
from batchata.generate.filters import Filter
from batchata.generate.sources import ParquetRows, RowFile

#: rows that are shuffled in memory at a time
_BUCKET_ROWS: Final = 50_000
_MOST_BUCKETS: Final = 256


@dataclass(frozen=True, slots=True)
class Span:
    """Positions of rows, from `start` up to but not including `stop`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def pieces(self, rows: int) -> list[Span]:
        """The span cut into pieces of `rows` rows; the last may have fewer."""
        return [
            Span(start, min(start + rows, self.stop))
            for start in range(self.start, self.stop, rows)
        ]

    def shards(self, size: Callable[[int], int]) -> list[Span]:
        """The span cut into pieces; `size` returns each one's from how many rows are left."""
        found, start = list[Span](), self.start
        while start < self.stop:
            stop = min(start + size(self.stop - start), self.stop)
            found.append(Span(start, stop))
            start = stop
        return found


def span_of_split(rows: int, number: int, count: int) -> Span:
    """The rows of split `number` (from 1) of `count`; the first `rows % count` get one more."""
    size, more = divmod(rows, count)
    start = (number - 1) * size + min(number - 1, more)
    return Span(start, start + size + (number <= more))


def checked_span(rows: int, split: tuple[int, int] | None) -> Span:
    """The rows of a split, or all rows without one; ValidationError when there are none."""
    span = Span(0, rows) if split is None else span_of_split(rows, *split)
    if not rows:
        raise ValidationError(
            "no row fits filter_condition", hint="loosen data.filter_condition, or leave it out"
        )
    return span


class Selection:
    """The rows of a file that fit a filter, up to a limit, in order.

    The file is read forward: each read continues where the last one ended.
    """

    def __init__(
        self,
        file: RowFile,
        condition: Filter | None = None,
        limit: int | None = None,
        *,
        counts: Sequence[int] | None = None,
    ) -> None:
        self.file = file
        self._condition = condition
        self.counts = list(counts) if counts is not None else self._count()
        self.rows = min(sum(self.counts), limit or sum(self.counts))
        self._ahead: Iterator[pyarrow.RecordBatch] | None = None
        self._position = 0  #: of the first row that `_ahead` gives
        self._left: list[pyarrow.RecordBatch] = []

    def _count(self) -> list[int]:
        """How many rows of each chunk fit the filter."""
        chunks = self.file.index.chunks
        if self._condition is None:
            return [rows for _, rows in chunks]
        counts, chunk, seen = [0] * len(chunks), 0, 0
        for batch in self.file.batches():
            while seen >= chunks[chunk][1]:
                chunk, seen = chunk + 1, 0
            seen += batch.num_rows
            counts[chunk] += self._fitting(batch).num_rows
        return counts

    def _fitting(self, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
        if self._condition is None:
            return batch
        return batch.filter(self._condition.mask(batch, is_text=self.file.is_text))

    def read(self, span: Span) -> pyarrow.Table:
        """The rows at these positions."""
        self._go_to(span.start)
        found: list[pyarrow.RecordBatch] = []
        while self._position < span.stop:
            batch = self._next()
            wanted = span.stop - self._position
            if batch.num_rows > wanted:
                self._left.append(batch.slice(wanted))
                batch = batch.slice(0, wanted)
            self._position += batch.num_rows
            found.append(batch)
        return pyarrow.Table.from_batches(found, self.file.schema)

    def _go_to(self, start: int) -> None:
        chunk, before = self._chunk_of(start)
        if self._ahead is None or start < self._position or before > self._position:
            self._ahead = self.file.batches(chunk)
            self._position, self._left = before, []
        while self._position < start:
            batch = self._next()
            skipped = min(batch.num_rows, start - self._position)
            if batch.num_rows > skipped:
                self._left.append(batch.slice(skipped))
            self._position += skipped

    def _chunk_of(self, position: int) -> tuple[int, int]:
        """The chunk that holds a position, and the position it begins at."""
        before = 0
        for chunk, count in enumerate(self.counts):
            if position < before + count:
                return chunk, before
            before += count
        return len(self.counts), before

    def _next(self) -> pyarrow.RecordBatch:
        if self._left:
            return self._left.pop()
        if self._ahead is None:
            raise ValidationError(f"{self.file.path} changed while it was being read")
        batch = next(self._ahead, None)
        if batch is None:
            raise ValidationError(
                f"{self.file.path} has changed: it has fewer rows than before",
                hint="--fresh starts over with the file as it is",
            )
        return self._fitting(batch)


def shuffled_copy(chosen: Selection, seed: int, path: Path) -> RowFile:
    """The chosen rows in random order, always the same for a seed, as a new Parquet file.

    Each row goes to a random one of several buckets, and each bucket is shuffled on its own: any
    number of rows in flat memory.
    """
    if path.exists():
        return ParquetRows(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buckets = min(_MOST_BUCKETS, -(-chosen.rows // _BUCKET_ROWS))
    chance = random.Random(seed)
    names = [path.with_name(f"{path.name}.{number}.bucket") for number in range(buckets)]
    _deal_out(chosen, chance, names)
    with (
        atomic_file(path) as part,
        pyarrow.parquet.ParquetWriter(part, chosen.file.schema) as writer,
    ):
        for name in names:
            with pyarrow.ipc.open_file(name) as reader:
                table = reader.read_all()
            order = list(range(table.num_rows))
            chance.shuffle(order)
            writer.write_table(table.take(order))
            name.unlink()
    return ParquetRows(path)


def _deal_out(chosen: Selection, chance: random.Random, names: Sequence[Path]) -> None:
    schema = chosen.file.schema
    writers = [pyarrow.ipc.new_file(str(name), schema) for name in names]
    for piece in Span(0, chosen.rows).pieces(_BUCKET_ROWS):
        table = chosen.read(piece).combine_chunks()
        rows: list[list[int]] = [[] for _ in names]
        for row in range(table.num_rows):
            rows[int(chance.random() * len(names))].append(row)
        for writer, taken in zip(writers, rows, strict=True):
            if taken:
                writer.write_table(table.take(taken))
    for writer in writers:
        writer.close()
