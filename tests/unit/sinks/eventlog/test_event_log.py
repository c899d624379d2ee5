"""The event log: whole, once, readable by everybody, without secrets, whatever goes wrong."""

import asyncio
import logging
import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import orjson
import pyarrow.parquet as pq
import pytest
from log_lab import DAY, NOON, event, ids, several_files, still, wait_for

from batchata.core.errors import EventLogError, ValidationError
from batchata.sinks.eventlog import EventLog, compact_events
from batchata.sinks.eventlog import log as module


def test_writes_seven_columns_under_the_day_of_the_event(tmp_path: Path) -> None:
    with EventLog(tmp_path, provider="openai", logger_metadata={"job": "a"}) as log:
        log.write(event(1))
        log.write(event(2, timestamp_us=NOON + DAY))

    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    table = pq.read_table(tmp_path / files[0], partitioning=None)
    assert [path.parts[0] for path in files] == ["date=2026-11-21", "date=2026-11-22"]
    assert [(each.name, str(each.type)) for each in table.schema] == [
        ("timestamp", "timestamp[us, tz=UTC]"),
        ("run_id", "string"),
        ("logger_custom_id", "string"),
        ("event_type", "string"),
        ("provider", "string"),
        ("logger_metadata", "string"),
        ("payload", "string"),
    ]
    assert table.to_pylist()[0]["logger_metadata"] == '{"job":"a"}'
    assert pq.ParquetFile(tmp_path / files[0]).metadata.row_group(0).column(6).compression == "ZSTD"


def test_other_readers_find_all_events(tmp_path: Path) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    with still(tmp_path) as log:
        for number in range(3):
            log.write(event(number))
            log.flush()

    glob = f"{tmp_path}/**/*.parquet"
    count = duckdb.sql(f"select count(distinct logger_custom_id) from '{glob}'").fetchall()
    assert count == [(3,)]
    assert len(pl.read_parquet(tmp_path)) == 3
    assert len(pd.read_parquet(tmp_path)) == 3


def test_nothing_is_beside_the_log_once_it_is_written(tmp_path: Path) -> None:
    where = tmp_path / "logs"
    with EventLog(where, partition_on=None) as log:
        log.write(event())

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
    assert [path.suffix for path in where.rglob("*") if path.is_file()] == [".parquet"]


def test_a_full_buffer_and_an_old_event_are_written_by_themselves(tmp_path: Path) -> None:
    with (
        EventLog(tmp_path / "size", buffer_size=5, flush_seconds=10**6) as by_size,
        EventLog(tmp_path / "time", buffer_size=10**6, flush_seconds=0.01) as by_time,
    ):
        for number in range(5):
            by_size.write(event(number))
        by_time.write(event())

        for folder, count in (("size", 5), ("time", 1)):
            wait_for(lambda folder=folder, count=count: len(ids(tmp_path / folder)) == count)


def test_threads_and_tasks_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    def work(log: EventLog, thread: int) -> None:
        for number in range(50):
            log.write(event(custom_id=f"thread-{thread}-{number}"))

    async def tasks(log: EventLog) -> None:
        async def one(task: int) -> None:
            for number in range(5):
                log.write(event(custom_id=f"task-{task}-{number}"))
                await asyncio.sleep(0)

        await asyncio.gather(*(one(task) for task in range(200)))

    with EventLog(tmp_path, buffer_size=100) as log:
        threads = [threading.Thread(target=work, args=(log, each)) for each in range(20)]
        for thread in threads:
            thread.start()
        asyncio.run(tasks(log))
        for thread in threads:
            thread.join()

    found = ids(tmp_path)
    assert len(found) == len(set(found)) == 20 * 50 + 200 * 5


def test_events_that_come_fast_share_files_however_small_the_buffer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BREATH", 1e12)

    with EventLog(tmp_path, buffer_size=1, flush_seconds=1000) as log:
        log.write(event(0))
        wait_for(lambda: ids(tmp_path) == ["row-0"])
        for number in range(1, 40):
            log.write(event(number))

    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert len(ids(tmp_path)) == 40


def test_more_events_than_memory_should_hold_wait_in_their_journals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 10)
    with still(tmp_path) as log:
        for number in range(35):
            log.write(event(number))
        assert len(log._rows) < 10

    assert ids(tmp_path) == [f"row-{number}" for number in range(35)]


def test_events_that_wait_take_little_more_memory_than_disk(tmp_path: Path) -> None:
    events = [event(number, data={"answer": "x" * 500}) for number in range(200)]
    with still(tmp_path) as log:
        log.write(event())
        tracemalloc.start()
        for at in range(0, len(events), 20):
            log.write_many(events[at : at + 20])
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert log._journal is not None
        assert taken < 2 * log._journal.size_bytes


def test_a_closed_log_takes_no_more(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.close()

    with pytest.raises(EventLogError, match="closed"):
        log.write(event())
    assert log.close()


def test_secrets_reach_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    known, named, shaped = "very-private-value", "named-value-123", "sk-proj-0123456789abcdefghij"
    (tmp_path / "logs").write_text("in the way, so that the journal stays")
    log = still(
        tmp_path / "logs", secrets=[known], logger_metadata={"api_key": named, "note": known}
    )
    log.write(
        event(
            run_id=f"run {known}",
            custom_id=f"id {known}",
            data={"prompt": f"use {known} or {shaped}", "kwargs": {"openai_api_key": named}},
            tags=[known],
            metadata={"headers": [("x", f"Bearer {shaped}")]},
            raw={"password": named},
        )
    )
    log.flush()
    journals = [path.read_bytes() for path in (tmp_path / "logs.journal").iterdir()]
    (tmp_path / "logs").unlink()
    log.close()
    columns = pq.read_table(tmp_path / "logs").to_pylist()

    written = b"".join(journals) + repr(columns).encode() + caplog.text.encode()
    assert journals
    for secret in (known, named, shaped):
        assert secret.encode() not in written
    assert b"use [redacted] or [redacted]" in written


def test_events_of_a_bunch_are_cleaned_one_by_one(tmp_path: Path) -> None:
    named = {"openai_api_key": "named-value-123", "kept": 1}

    with still(tmp_path) as log:
        log.write_many([event(1), event(2, data=named), event(3, data={"prompt": "plain"})])

    table = pq.read_table(next(tmp_path.rglob("*.parquet")), partitioning=None)
    data = [orjson.loads(each)["data"] for each in table["payload"].to_pylist()]
    assert data[0] == {"answer": "answer 1"}
    assert "named-value-123" not in str(data)
    assert data[1]["kept"] == 1
    assert data[2] == {"prompt": "plain"}


def test_an_address_shows_no_key(tmp_path: Path) -> None:
    log = EventLog("memory://key:secret@logs/x?token=abc", filesystem=fsspec.filesystem("memory"))

    assert log.url == "memory://logs/x"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"buffer_size": 0}, "buffer_size"),
        ({"flush_seconds": -1}, "flush_seconds"),
        ({"partition_on": "hour"}, "partition_on"),
        ({"on_failure": "panic"}, "on_failure"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=said):
        EventLog(tmp_path, **options)


def test_any_store_of_fsspec_holds_a_log(tmp_path: Path) -> None:
    where = f"memory://logs-{os.getpid()}/a"
    with still(where, journal_dir=tmp_path / "journal") as log:
        for number in range(3):
            log.write(event(number))
            log.flush()

    made = compact_events(where)

    assert (made.files_before, made.files_after, made.events) == (3, 1, 3)
    assert ids(where) == ["row-0", "row-1", "row-2"]


def test_an_address_that_nobody_knows_is_refused() -> None:
    with pytest.raises(EventLogError, match="nowhere://x"):
        EventLog("nowhere://x/y")


def test_a_log_may_lie_in_two_places(tmp_path: Path) -> None:
    with still(tmp_path / "a", also=[tmp_path / "b"]) as log:
        log.write(event(1))

    assert ids(tmp_path / "a") == ids(tmp_path / "b") == ["row-1"]


def test_compacting_makes_one_file_a_day_of_many(tmp_path: Path) -> None:
    several_files(tmp_path)

    made = compact_events(tmp_path)
    again = compact_events(tmp_path)

    assert (made.files_before, made.files_after, made.events) == (6, 2, 6)
    assert (again.files_before, again.files_after, again.events) == (2, 2, 0)
    assert ids(tmp_path) == [f"row-{number}" for number in range(6)]


def test_half_a_character_in_a_name_keeps_no_other_event_from_the_log(tmp_path: Path) -> None:
    with still(tmp_path) as log:
        log.write_many([event(1), event(2, custom_id="a\udcff", run_id="\ud800"), event(3)])

    assert ids(tmp_path) == ["row-1", "a?", "row-3"]
