"""Result files of batches: one item per line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from batchata.ports import Item
from batchata.providers.surrogates import decoded

T = TypeVar("T")


def line_of(decode: Callable[[Any], T], line: bytes) -> T:
    """What `decode` makes of a line, also of one with a byte order mark, bytes that are no UTF-8,
    or NaN in it: the answer in it was paid for.

    Raises ValueError or RecursionError for what is no such line.
    """
    try:
        return decoded(decode, line)
    except ValueError:
        text = line.decode("utf-8-sig", "replace")
        mended = json.dumps(json.loads(text, parse_constant=lambda _: None))
    return decoded(decode, mended.encode())


def items_of(path: Path, read_line: Callable[[bytes, int, str], Item]) -> Iterator[Item]:
    """Answers and failures in order; `read_line` gets a line, its number and the file name."""
    name = path.name
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip(b"\r\n \t"):
                yield read_line(line, number, name)
