"""The cache file: read and written by people, old tools, and several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from extraction_lab import FrameLab

from batchata.core.errors import StateError, StateVersionError, ValidationError
from batchata.frames import SqliteCache, compute_prompt_hash

PROMPT = "Say the mood."


def sql(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What people do with the file."""
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(statement, values).fetchall()


def old_three_columns(path: Path) -> None:
    sql(
        path,
        "CREATE TABLE results (row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL, "
        "prompt_hash TEXT)",
    )
    for row_id in "ab":
        answer = f'{{"input_id": "{row_id}", "mood": "old"}}'
        sql(path, "INSERT INTO results VALUES (?,?,?)", row_id, answer, compute_prompt_hash(PROMPT))


def old_two_columns(path: Path) -> None:
    sql(path, "CREATE TABLE results (row_id TEXT PRIMARY KEY, json_result TEXT NOT NULL)")
    for row_id in "ab":
        answer = f'{{"input_id": "{row_id}", "mood": "old"}}'
        sql(path, "INSERT INTO results VALUES (?,?)", row_id, answer)


def test_the_prompt_hash_is_the_one_people_have_in_their_files() -> None:
    assert compute_prompt_hash("") == "e3b0c44298fc1c14"
    assert compute_prompt_hash("abc") == "ba7816bf8f01cfea"


def test_answers_of_several_prompts_live_together(tmp_path: Path) -> None:
    with SqliteCache(tmp_path / "c.sqlite") as cache:
        cache.put("a", {"mood": "x"}, "p1")
        cache.put("a", {"mood": "y"}, "p2")
        cache.put("b", {"mood": "z"})

        assert cache.get("a") == {"mood": "y"}
        assert cache.get("a", "p1") == {"mood": "x"}
        assert cache.get("a", "p3") is None
        assert cache.get("nobody") is None
        assert cache.all_ids() == {"a", "b"}
        assert cache.all_ids("p1") == {"a"}


def test_people_see_the_newest_answer_of_each_row_with_sql(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache:
        cache.put("a", {"mood": "x"}, "p1")
        cache.put("a", {"mood": "y"}, "p2")
        cache.put("b", {"mood": "z"}, "p1")

    assert sql(path, "SELECT * FROM results ORDER BY row_id") == [
        ("a", '{"mood":"y"}', "p2"),
        ("b", '{"mood":"z"}', "p1"),
    ]


def test_people_and_old_tools_write_through_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with SqliteCache(path) as cache:
        cache.put("a", {"mood": "x"}, "p1")
        cache.put("b", {"mood": "x"}, "p1")

    sql(path, "INSERT OR REPLACE INTO results VALUES ('c', '{\"mood\": \"old\"}', 'p1')")
    sql(path, "UPDATE results SET json_result = '{\"mood\": \"mine\"}' WHERE row_id = 'b'")
    sql(path, "DELETE FROM results WHERE row_id = 'a'")

    with SqliteCache(path) as cache:
        assert cache.all_ids() == {"b", "c"}
        assert cache.get("b") == {"mood": "mine"}
        assert cache.get("c", "p1") == {"mood": "old"}


@pytest.mark.parametrize("make", [old_three_columns, old_two_columns])
def test_old_files_open(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "old.sqlite"
    make(path)

    with SqliteCache(path) as cache:
        assert cache.all_ids() == {"a", "b"}
        assert cache.get("a") == {"input_id": "a", "mood": "old"}
    with SqliteCache(path) as cache:
        assert cache.all_ids() == {"a", "b"}
    assert len(sql(path, "SELECT row_id, json_result, prompt_hash FROM results")) == 2


def test_old_answers_match_by_prompt_and_are_announced_once(
    tables: FrameLab, caplog: pytest.LogCaptureFixture
) -> None:
    old_three_columns(tables.cache)
    df = pd.DataFrame({"id": ["a", "b", "c"], "text": ["1", "2", "3"]})

    out = tables.extract(df, schema=None)

    assert tables.model.asked == ["c"]
    assert out.mood.tolist() == ["old", "old", "mood of 3"]
    assert [record.message[:9] for record in caplog.records] == ["2 answers"]


def test_old_answers_to_other_prompts_or_to_none_are_asked_again(tables: FrameLab) -> None:
    old_two_columns(tables.cache)
    df = pd.DataFrame({"id": ["a", "b"], "text": ["1", "2"]})

    unasked = tables.extract(df, ignore_prompt_hash=True)
    out = tables.extract(df)

    assert unasked.mood.tolist() == ["old", "old"]
    assert out.mood.tolist() == ["mood of 1", "mood of 2"]


def test_an_old_answer_is_not_given_to_two_rows(tables: FrameLab) -> None:
    old_three_columns(tables.cache)
    df = pd.DataFrame({"id": ["a", "a"], "text": ["1", "2"]})

    out = tables.extract(df)

    assert out.mood.tolist() == ["mood of 1", "mood of 2"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("no database"), "cannot be used"),
        (lambda path: sql(path, "CREATE TABLE mine (a)"), "another program"),
        (lambda path: sql(path, "PRAGMA application_id=5"), "another program"),
        (lambda path: path.mkdir(), "cannot be used"),
    ],
)
def test_files_of_others_are_left_as_they_are(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "other"
    make(path)
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(StateError, match=said):
        SqliteCache(path)

    assert (path.read_bytes() if path.is_file() else b"")[:96] == before[:96]


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    SqliteCache(path).close()
    sql(path, "PRAGMA user_version=99")

    with pytest.raises(StateVersionError, match="99"):
        SqliteCache(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="nowhere"):
        SqliteCache(tmp_path / "nowhere" / "c.sqlite")


def test_a_cache_that_is_no_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="None, not a path"):
        SqliteCache(None)  # type: ignore[arg-type]
