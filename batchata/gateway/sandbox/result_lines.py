"""Writes result files line by line, and corrupts them if the scenario says so."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeVar

from batchata.gateway.sandbox.records import BatchRecord
from batchata.gateway.sandbox.world import World

Item = TypeVar("Item", contravariant=True)
YIELD_EVERY: Final = 500  #: items after which other tasks get a turn
KEPT: Final = 1_000  #: lines in memory before they go to disk
GARBAGE: Final = b'{"id": "sandbox", "custom_id": "unparsab'
SHAPED: Final = frozenset(
    {
        "shuffled",
        "duplicate_lines",
        "missing_ids",
        "unknown_id",
        "crlf",
        "truncated_line",
        "unparsable_line",
    }
)


class ResultFile:
    """One result file while it is written; lines come without their newline."""

    def __init__(self, path: Path, batch: BatchRecord) -> None:
        self.path = path
        self.count = 0
        self._batch = batch
        self._lines: list[bytes] = []
        self._keeps_all = any(fault.change in SHAPED for fault in batch.faults)
        self._file = path.open("wb")

    def add(self, line: bytes) -> None:
        """Take one line."""
        self.count += 1
        self._lines.append(line)
        if len(self._lines) >= KEPT and not self._keeps_all:
            self._flush()

    def close(self, *, extra: bytes | None = None) -> None:
        """Write what is left; `extra` is a line with an id that nobody sent."""
        if self._keeps_all and self._lines:
            data = _spoiled(self._batch, self._lines, extra)
            self._lines.clear()
            self._file.write(data)
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._lines:
            self._lines.append(b"")
            self._file.write(b"\n".join(self._lines))
            self._lines.clear()


def _spoiled(batch: BatchRecord, lines: list[bytes], extra: bytes | None) -> bytes:
    lines = list(lines)
    if batch.fault("shuffled"):
        Random(len(lines)).shuffle(lines)
    if fault := batch.fault("missing_ids"):
        lines = lines[_part(lines, fault.share) :]
    if fault := batch.fault("duplicate_lines"):
        lines += lines[: _part(lines, fault.share)]
    if batch.fault("unknown_id") and extra is not None:
        lines.insert(len(lines) // 2, extra)
    if batch.fault("unparsable_line") and lines:
        lines[len(lines) // 2] = GARBAGE
    end = b"\r\n" if batch.fault("crlf") else b"\n"
    data = end.join([*lines, b""]) + (end if batch.fault("crlf") else b"")
    if batch.fault("truncated_line") and lines:
        data = data.rstrip()[: -max(1, len(lines[-1]) // 2)]
    return data


def _part(lines: list[bytes], share: float) -> int:
    return max(1, int(len(lines) * share))


class ResultMaker(Protocol[Item]):
    """The results of one batch while they are made, in its vendor's format."""

    async def answered(self, item: Item) -> None: ...
    def late(self, item: Item, outcome: str) -> None: ...
    def finish(self) -> None: ...


async def write_results(
    world: World, batch: BatchRecord, results: ResultMaker[Item], decode: Callable[[bytes], Item]
) -> None:
    """Answer the items that are done, and record that the others came too late."""
    life = world.life(batch)
    done = int(batch.n * life.done_share)
    with batch.path.open("rb") as lines:
        for index, raw in enumerate(lines):
            item = decode(raw)
            if index < done:
                await results.answered(item)
            else:
                if life.outcome == "expired":
                    batch.counts.expired += 1
                else:
                    batch.counts.cancelled += 1
                results.late(item, life.outcome)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    results.finish()
    batch.is_settled = True
