"""Result files of batches: a line an item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from batchata.ports import Item


def items_of(path: Path, read_line: Callable[[bytes, int, str], Item]) -> Iterator[Item]:
    """Answers and failures in order; `read_line` gets a line, its number and the file name."""
    name = path.name
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip(b"\r\n \t"):
                yield read_line(line, number, name)
