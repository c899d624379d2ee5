"""Files that hold what outlives a run: ours are taken up again, all others are left alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batchata.core.errors import StateError, StateVersionError
from batchata.stores.sqlite_file import FileKind, SqliteFile

KIND = FileKind(
    name="drawer",
    application_id=0x64726177,
    version=2,
    instead="open(drawer='other.db')",
    durability="FULL",
    tables="CREATE TABLE IF NOT EXISTS things (name TEXT PRIMARY KEY, size INTEGER NOT NULL)",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drawer.db"


def things(file: SqliteFile) -> list[tuple[str, int]]:
    return file.rows("SELECT * FROM things ORDER BY name")


@pytest.mark.parametrize("is_temporary", [False, True])
def test_what_is_written_is_read(path: Path, is_temporary: bool) -> None:
    with closing(SqliteFile(None if is_temporary else path, KIND)) as file:
        file.write_all("INSERT INTO things VALUES (?,?)", [("cup", 1), ("jug", 2)])
        file.write("DELETE FROM things WHERE size>?", (1,))
        assert things(file) == [("cup", 1)]
    assert path.exists() is not is_temporary


def test_a_file_is_taken_up_again(path: Path) -> None:
    with closing(SqliteFile(path, KIND)) as file:
        file.write("INSERT INTO things VALUES ('cup', 1)")
    with closing(SqliteFile(path, KIND)) as file:
        assert things(file) == [("cup", 1)]


def test_rows_are_written_all_or_none(path: Path) -> None:
    with closing(SqliteFile(path, KIND)) as file:
        with pytest.raises(StateError, match=r"the drawer .* cannot be used: UNIQUE constraint"):
            file.write_all("INSERT INTO things VALUES (?,?)", [("cup", 1), ("cup", 2)])
        assert things(file) == []


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE mine (a)")


def of_another_kind(path: Path) -> None:
    SqliteFile(path, replace(KIND, application_id=7)).close()


@pytest.mark.parametrize("make", [of_another_program, of_another_kind])
def test_the_file_of_something_else_is_left_as_it_is(
    path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    before = path.read_bytes()
    with pytest.raises(StateError, match="is no drawer; it was left") as caught:
        SqliteFile(path, KIND)
    assert "open(drawer='other.db')" in str(caught.value)
    assert path.read_bytes() == before


def test_text_is_left_as_it_is(path: Path) -> None:
    path.write_text("my notes" * 100)
    with pytest.raises(StateError, match="not a database"):
        SqliteFile(path, KIND)
    assert path.read_text() == "my notes" * 100


def test_a_newer_file_is_left_as_it_is(path: Path) -> None:
    SqliteFile(path, replace(KIND, version=3)).close()
    before = path.read_bytes()
    with pytest.raises(StateVersionError, match="has version 3, this batchata reads 2"):
        SqliteFile(path, KIND)
    assert path.read_bytes() == before
