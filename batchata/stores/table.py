"""Reads rows of a state file back for results."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from batchata.core.status import CODES, JobStatus
from batchata.core.submission import Shape
from batchata.stores import schema
from batchata.stores.files import disk_error

_SUCCEEDED = CODES[JobStatus.SUCCEEDED]
T = TypeVar("T")


class ResultTable:
    """Reads rows of outcomes, answers and submissions; StateError when the disk refuses."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path

    def rows(self, after: int = 0, limit: int = -1) -> list[tuple[Any, ...]]:
        """Rows of schema.RESULTS whose number is above `after`, in the order they came."""
        return self._read(
            lambda: self._db.execute(
                schema.RESULTS + "WHERE o.n>? ORDER BY o.n LIMIT ?", (after, limit)
            ).fetchall()
        )

    def rows_of(self, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        """Rows of schema.RESULTS with these numbers."""
        marks = ",".join("?" * len(numbers))
        return self._read(
            lambda: self._db.execute(
                schema.RESULTS + f"WHERE o.n IN ({marks}) ORDER BY o.n", tuple(numbers)
            ).fetchall()
        )

    def last_outcomes(self) -> Iterator[tuple[int, int, int]]:
        """Number, seq and cost without a usable answer of every outcome, in the order they came."""
        select = "SELECT n, seq, iif(status=?, 0, cost) FROM outcomes ORDER BY n"
        return self._db.execute(select, (_SUCCEEDED,))

    def shapes(self) -> list[Shape]:
        """What the jobs have in common, by number."""
        return self._read(
            lambda: [
                schema.shape_of(row) for row in self._db.execute("SELECT * FROM shapes ORDER BY n")
            ]
        )

    def submission_rows(self) -> list[tuple[Any, ...]]:
        """Rows of all submissions, oldest first."""
        return self._read(
            lambda: self._db.execute("SELECT * FROM submissions ORDER BY n").fetchall()
        )

    def _read(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except sqlite3.Error as error:
            raise disk_error(self._path, error) from error
