"""Reads the event log back, with the usual fields of its payloads as columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from batchata.core.errors import EventLogError, ValidationError
from batchata.sinks.eventlog.fields import FIELDS, flat
from batchata.sinks.eventlog.place import Place, place_of
from batchata.sinks.eventlog.table import COLUMNS, import_pyarrow, schema

#: metadata key of a compacted file, for the names of the files whose events it holds
SOURCES: Final = b"batchata.sources"
#: columns of later generations of the schema, and our names for them
_RENAMED: Final = {"custom_id": "logger_custom_id"}


def read_events(
    where: str | os.PathLike[str] | Place,
    *,
    custom_id: str | Iterable[str] | None = None,
    event_type: str | Iterable[str] | None = None,
    since: datetime | str | None = None,
    filesystem: Any = None,
) -> Any:
    """The events below `where` as a pandas DataFrame, ordered by time.

    `where` is an address, or the `place` of a log. Besides the seven columns it has
    `parent_run_id` and what payloads usually hold: `model`, `prompt`, `answer`, `input_tokens`,
    `output_tokens`, `cost_usd`, `latency_seconds`, `error`; what an event lacks is None.
    `since` is a datetime or ISO text, UTC where it names no zone. Logs of the earlier schemas are
    read as well. Raises EventLogError.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise EventLogError(
            "read_events returns a pandas DataFrame, and pandas is not installed",
            hint="pip install pandas, or read the files with another Parquet reader",
        ) from error
    kept = Wanted(custom_id=custom_id, event_type=event_type, since=since)
    place = place_of(where, filesystem) if isinstance(where, (str, os.PathLike)) else where
    table = read_table(place, kept)
    frame = table.to_pandas()
    found = [flat(*each) for each in zip(frame["payload"], frame["event_type"], strict=True)]
    for name in ("parent_run_id", *FIELDS):
        if name not in frame or frame[name].isna().all():
            frame[name] = pd.Series([row.get(name) for row in found], dtype=object)
    measured = zip(frame["latency_seconds"], _latencies(frame), strict=True)
    frame["latency_seconds"] = pd.Series(
        [between if pd.isna(told) else told for told, between in measured], dtype=object
    )
    return frame.infer_objects()


class Wanted:
    """Selects the events asked for."""

    def __init__(
        self,
        *,
        custom_id: str | Iterable[str] | None = None,
        event_type: str | Iterable[str] | None = None,
        since: datetime | str | None = None,
    ) -> None:
        self.ids = _several(custom_id)
        self.types = _several(event_type)
        self.since = _moment(since)

    def of(self, table: Any) -> Any:
        """The rows of a table that are wanted."""
        compute = _compute()
        for values, column in ((self.ids, "logger_custom_id"), (self.types, "event_type")):
            if values is not None:
                table = table.filter(compute.is_in(table[column], import_pyarrow().array(values)))
        if self.since is not None:
            table = table.filter(compute.greater_equal(table["timestamp"], self.since))
        return table

    def may_have(self, path: str) -> bool:
        """False for files of days that end before the time asked for."""
        day = path.partition("date=")[2][:10] if "date=" in path else ""
        return self.since is None or not day or day >= self.since.strftime("%Y-%m-%d")


def read_table(place: Place, wanted: Wanted) -> Any:
    """The wanted events below a place as an arrow table, ordered by time."""
    pyarrow = import_pyarrow()
    wide = schema().append(pyarrow.field("parent_run_id", pyarrow.string()))
    found = [wide.empty_table()]
    for path in live_paths(place, [each for each in place.paths() if wanted.may_have(each)]):
        found.append(wanted.of(read_file(place, path)))
    return pyarrow.concat_tables(found).sort_by("timestamp")


def read_file(place: Place, path: str) -> Any:
    """One file of any generation, in our columns."""
    pyarrow = import_pyarrow()
    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(place.get(path))).read()
    except pyarrow.ArrowException as error:
        raise EventLogError(f"{place.url}/{path} is not a Parquet file: {error}") from error
    if not {"event_type", "payload"} <= set(table.column_names):
        raise EventLogError(
            f"{place.url}/{path} does not belong to an event log: its columns are "
            f"{', '.join(table.column_names)}",
            hint="name a folder with nothing but the log",
        )
    return pyarrow.table(
        [_column(table, name, kind) for name, kind in _kinds()], names=[*COLUMNS, "parent_run_id"]
    )


def live_paths(place: Place, paths: Iterable[str]) -> Iterator[str]:
    """Paths without files whose events are in a compacted file beside them."""
    paths = list(paths)
    taken = {
        f"{path.rpartition('/')[0]}/{name}".lstrip("/")
        for path in paths
        if is_compact(path)
        for name in sources(place.get(path))
    }
    yield from (path for path in paths if path not in taken)


def is_compact(path: str) -> bool:
    """True for the name of a compacted file."""
    return path.rpartition("/")[2].startswith("compact_")


def sources(data: bytes) -> list[str]:
    """Names of the files whose events a compacted file holds."""
    pyarrow = import_pyarrow()
    kept = pyarrow.parquet.read_schema(pyarrow.BufferReader(data)).metadata or {}
    found = orjson.loads(kept.get(SOURCES, b"[]"))
    return [str(name) for name in found]


def is_taken(place: Place, path: str) -> bool:
    """True when a compacted file beside it already holds this file's events."""
    folder, _, name = path.rpartition("/")
    beside = (each for each in place.paths() if each.rpartition("/")[0] == folder)
    return any(name in sources(place.get(each)) for each in beside if is_compact(each))


def _kinds() -> list[tuple[str, Any]]:
    pyarrow = import_pyarrow()
    return [*((each.name, each.type) for each in schema()), ("parent_run_id", pyarrow.string())]


def _column(table: Any, name: str, kind: Any) -> Any:
    pyarrow = import_pyarrow()
    earlier = next((old for old, new in _RENAMED.items() if new == name), name)
    for each in (name, earlier):
        if each in table.column_names:
            column = table[each]
            if name == "timestamp" and getattr(column.type, "tz", "UTC") is None:
                column = _compute().assume_timezone(column, "UTC")
            return column.cast(kind)
    return pyarrow.nulls(table.num_rows, kind)


def _latencies(frame: Any) -> list[float | None]:
    """Seconds from a call's start to its end, where the log has both."""
    begun: dict[str, Any] = {}
    found: list[float | None] = []
    for run_id, kind, at in zip(
        frame["run_id"], frame["event_type"], frame["timestamp"], strict=True
    ):
        kind = kind or ""
        if run_id and kind.endswith("_start"):
            begun.setdefault(run_id, at)
        is_end = run_id in begun and kind.endswith(("_end", "_error"))
        found.append((at - begun[run_id]).total_seconds() if is_end else None)
    return found


def _several(value: str | Iterable[str] | None) -> list[str] | None:
    if value is None:
        return None
    return [value] if isinstance(value, (str, int)) else [str(each) for each in value]


def _moment(value: datetime | str | None) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValidationError(
                f"since is {value!r}, not a time", hint="write since='2026-11-21T10:00'"
            ) from error
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _compute() -> Any:
    import pyarrow.compute

    return pyarrow.compute
