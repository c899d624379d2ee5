"""Room that is kept on the disk for what is paid for already."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from batchata.core.errors import StateError
from batchata.core.events import LimitSet
from batchata.stores import room
from batchata.stores.room import Room
from batchata.stores.sqlite import SQLiteStore


def used_bytes(folder: Path) -> int:
    """What files take, those without a name too, as the system counts it for this process."""
    found = (Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else ()
    sizes = 0
    for each in found:
        try:
            if each.readlink().parent == folder:
                sizes += each.stat().st_blocks * 512
        except OSError:
            continue
    return sizes


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not tell")
@pytest.mark.parametrize("is_reserved", [True, False])
def test_room_takes_its_place_and_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_reserved: bool
) -> None:
    if not is_reserved:
        monkeypatch.delattr(os, "posix_fallocate")

    made = Room(tmp_path / "state.db")

    assert used_bytes(tmp_path) >= 4 * 2**20
    assert list(tmp_path.iterdir()) == []
    assert [made.give_back(), made.give_back()] == [True, False]
    assert used_bytes(tmp_path) == 0


def test_a_disk_without_room_is_used_without_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "_fill", refuse)

    assert not Room(tmp_path / "state.db").give_back()


@pytest.mark.parametrize("helps", [True, False])
def test_the_first_commit_of_a_full_disk_takes_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helps: bool
) -> None:
    store = SQLiteStore(tmp_path / "state.db", keeps_room=True)
    told: list[StateError] = []
    store.on_shortage = told.append
    give_back = Room.give_back

    def given_back(made: Room) -> bool:
        was_there = give_back(made)
        if helps and was_there:
            store._db.execute("PRAGMA max_page_count=1000000")
        return was_there

    monkeypatch.setattr(Room, "give_back", given_back)
    store._db.execute("PRAGMA max_page_count=1")
    refused: list[StateError] = []
    for number in range(3):
        try:
            store.set_meta(**{f"note{number}": "x" * 100_000})
            store.commit(LimitSet(limit=number))
        except StateError as error:
            refused.append(error)
    kept = [store.meta(f"note{number}") is not None for number in range(3)]
    store.close()

    assert len(told) == helps
    assert kept == [helps] * 3
    assert len(refused) == (0 if helps else 3)
    assert all("full" in str(each) for each in refused)
    assert not any(isinstance(each.__cause__, sqlite3.ProgrammingError) for each in refused)
