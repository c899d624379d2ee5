"""Events that become files of their own, named after their journal."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from batchata.core.errors import EventLogError
from batchata.sinks.eventlog.journal import Journal
from batchata.sinks.eventlog.place import Place
from batchata.sinks.eventlog.reading import is_taken
from batchata.sinks.eventlog.table import PartitionOn, Rows, files_of, parquet_bytes


@dataclass(slots=True, eq=False)
class Segment:
    """Events that are written together, exactly once."""

    journal: Journal | None
    rows: Rows = field(default_factory=Rows)  #: empty when they must be read from the journal
    is_adopted: bool = False
    name: str = field(default_factory=lambda: f"memory-{os.urandom(6).hex()}")

    def __post_init__(self) -> None:
        if self.journal is not None:
            self.name = self.journal.name

    def deliver(self, places: Iterable[Place], partition_on: PartitionOn) -> None:
        """Write its files; EventLogError when one failed, and all must be tried again."""
        journal, rows = self.journal, self.rows
        if journal is not None and not rows:
            rows = _rows_of(journal)
        for path, found in files_of(rows, self.name, partition_on):
            data = parquet_bytes(found)
            for place in places:
                if not (self.is_adopted and is_taken(place, path)):
                    place.put(path, data)
        if journal is not None:
            journal.remove()


def _rows_of(journal: Journal) -> Rows:
    try:
        return journal.rows()
    except OSError as error:
        raise EventLogError(f"{journal.path} cannot be read: {error.strerror or error}") from error
