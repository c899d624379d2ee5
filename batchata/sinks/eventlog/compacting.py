"""Compacts many small files of a log into few large ones, safely through any crash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import orjson

from batchata.core.errors import EventLogError
from batchata.sinks.eventlog.place import Place, place_of
from batchata.sinks.eventlog.reading import SOURCES, is_compact, read_file, sources
from batchata.sinks.eventlog.table import COLUMNS, import_pyarrow, schema, table_bytes

#: files of this size are left alone, and none is made much larger
_LARGE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """The outcome of compacting."""

    files_before: int
    files_after: int
    events: int  #: in the files that were made


def compact_events(where: str | os.PathLike[str], *, filesystem: Any = None) -> Compacted:
    """Merge the small files of each folder of a log; no event is lost or duplicated.

    A new file names the old ones, and is in place before they are removed: after a crash in between
    `read_events` leaves them out, and the next `compact_events` removes them. Raises EventLogError.
    """
    place = place_of(where, filesystem)
    paths = list(place.paths())
    events = 0
    for _, found in groupby(paths, key=lambda path: path.rpartition("/")[0]):
        events += sum(_merge(place, group) for group in _groups(place, list(found)))
    return Compacted(files_before=len(paths), files_after=len(list(place.paths())), events=events)


def _groups(place: Place, paths: list[str]) -> Iterator[list[tuple[str, bytes]]]:
    """Groups of files in one folder, each of which becomes one file."""
    left = _without_leftovers(place, paths)
    group: list[tuple[str, bytes]] = []
    size = 0
    for path in left:
        data = place.get(path)
        if len(data) >= _LARGE_BYTES:
            continue
        if size + len(data) > _LARGE_BYTES:
            yield group
            group, size = [], 0
        group.append((path, data))
        size += len(data)
    yield group


def _without_leftovers(place: Place, paths: Sequence[str]) -> list[str]:
    """Paths without files that an interrupted compacting had merged already; removes those."""
    names = {path.rpartition("/")[2]: path for path in paths}
    for path in paths:
        if is_compact(path):
            for name in sources(place.get(path)):
                if name in names:
                    place.remove(names.pop(name))
    return list(names.values())


def _merge(place: Place, group: Sequence[tuple[str, bytes]]) -> int:
    if len(group) < 2:
        return 0
    pyarrow = import_pyarrow()
    tables = [read_file(place, path).select(list(COLUMNS)) for path, _ in group]
    table = pyarrow.concat_tables(tables).sort_by("timestamp")
    names = sorted({path.rpartition("/")[2] for path, _ in group})
    made = schema().with_metadata({SOURCES: orjson.dumps(names)})
    folder = group[0][0].rpartition("/")[0]
    digest = hashlib.sha256(orjson.dumps(names)).hexdigest()[:24]
    target = f"{folder}/compact_{digest}.parquet".lstrip("/")
    place.put(target, table_bytes(table.cast(made)))
    if read_file(place, target).num_rows != table.num_rows:
        raise EventLogError(f"{place.url}/{target} does not hold what was written to it")
    for path, _ in group:
        place.remove(path)
    return int(table.num_rows)
