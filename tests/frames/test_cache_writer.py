"""Answers go into the cache while others are awaited, and none is lost where that fails."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from extraction_lab import COUNT, FrameLab, Rows, frame, well

from batchata.core.errors import StateError
from batchata.core.events import JobsAdded, OutcomesRecorded
from batchata.core.status import JobStatus
from batchata.core.submission import JobRow, Outcome
from batchata.frames import SqliteCache, extraction
from batchata.frames.asking import make_asking
from batchata.frames.cache import Entry
from batchata.frames.cache_writer import CacheWriter
from batchata.frames.packs import Row


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for answers at each tick."""
    monkeypatch.setattr(extraction, "_LOOK_SECONDS", 0.0)


def wait_for_answers(tables: FrameLab) -> int:
    """How many answers are in the cache, once there are some; read from beside the call."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with closing(sqlite3.connect(tables.cache)) as db:
            count = int(db.execute("SELECT count(*) FROM answers").fetchone()[0])
        if count:
            return count
        time.sleep(0.01)
    return 0


def kept_before_the_last_answer(tables: FrameLab) -> list[int]:
    """Have the model answer about the last row when others are in the cache."""
    found: list[int] = []

    def reply(rows: Rows) -> Any:
        if rows[-1]["input_id"] == str(COUNT - 1):
            found.append(wait_for_answers(tables))
        return well(rows)

    tables.model.reply = reply
    return found


def test_answers_are_in_the_cache_before_the_last_one_has_come(tables: FrameLab) -> None:
    found = kept_before_the_last_answer(tables)

    out = tables.extract(frame(), chunk_size=1, max_workers=1)

    assert found[0] > 0
    assert out.mood.tolist() == [f"mood of text {n}" for n in range(COUNT)]
    with SqliteCache(tables.cache) as cache:
        assert len(list(cache.find(map(str, range(COUNT))))) == COUNT


def test_a_cache_that_fails_once_while_answers_come_gets_all_of_them_in_the_end(
    tables: FrameLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many, calls = SqliteCache.put_many, list[int]()

    def put(cache: SqliteCache, entries: list[Entry]) -> None:
        calls.append(len(entries))
        if len(calls) == 1:
            raise StateError("the disk is full")
        put_many(cache, entries)

    monkeypatch.setattr(SqliteCache, "put_many", put)

    out = tables.extract(frame(), chunk_size=1)

    assert calls[0] > 0
    assert set(out.status) == {"succeeded"}
    with SqliteCache(tables.cache) as cache:
        assert len(list(cache.find(map(str, range(COUNT))))) == COUNT
    assert sorted(path.name for path in tables.folder.iterdir()) == ["answers.sqlite"]


def test_bad_rows_of_answers_that_came_early_are_asked_again_once(tables: FrameLab) -> None:
    found = kept_before_the_last_answer(tables)
    keep = tables.model.reply

    def reply(rows: Rows) -> Any:
        answer = keep(rows)
        if len(rows) > 1:  # the first row of each pack is left out
            answer["all_results"] = answer["all_results"][1:]
        return answer

    tables.model.reply = reply

    out = tables.extract(frame(), chunk_size=2, max_workers=1)

    assert found[0] > 0
    assert set(out.status) == {"succeeded"}
    assert len(tables.model.asked) == COUNT + COUNT // 2


def test_answers_of_jobs_that_the_file_knew_before_are_not_taken_by_their_number(
    tmp_path: Path,
) -> None:
    asking = make_asking(prompt="Name the mood.", model="gpt-6-luna", backend="openai", schema=None)
    rows = [[Row(number, str(number), "", b"key")] for number in range(3)]
    answers: dict[int, str] = {}
    with SqliteCache(tmp_path / "cache.sqlite") as cache:
        writer = CacheWriter(asking, cache, rows, prefix="p", answers=answers, failures={})
        # p0 was met before, so that seq 1 is p2 and nothing can be told from its place
        writer.hear(JobsAdded(rows=[JobRow(1, "p2", 0, b"{}", None, None, 1, 1, 1)]))
        said = Outcome(
            seq=1, status=JobStatus.SUCCEEDED, attempt=1, text='{"all_results": [{"mood": "calm"}]}'
        )
        writer.hear(OutcomesRecorded(outcomes=[said]))

        writer.take_new()

        assert not answers
        assert not list(cache.find(["0", "1", "2"]))
