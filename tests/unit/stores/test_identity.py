"""A state file that is deleted or replaced while a run has it open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from batchata.core.errors import StateError
from batchata.stores.lock import RunLock
from batchata.stores.spending import TOTAL, Spend, SpendFile
from batchata.stores.sqlite import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.db"


def opened(path: Path) -> SQLiteStore:
    """A state file with something in it."""
    store = SQLiteStore(path)
    store.set_meta(before="there")
    return store


def delete(path: Path) -> None:
    """All files of a state file, as `rm state.db*` does it."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def meta(path: Path, key: str) -> object:
    """What a file says."""
    store = SQLiteStore(path)
    try:
        return store.meta(key)
    finally:
        store.close()


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_file_that_is_gone_is_noticed_at_the_next_commit_which_is_saved(
    path: Path, is_moved: bool
) -> None:
    store = opened(path)
    if is_moved:
        path.rename(path.with_name("other.db"))
    else:
        delete(path)

    with pytest.raises(StateError, match="deleted or moved away") as caught:
        store.set_meta(last="there too")
    store.close()

    saved = path.with_name("state.db.1")
    assert str(saved) in caught.value.message
    assert f"mv {saved} {path}" in str(caught.value.hint)
    saved.rename(path)
    assert (meta(path, "before"), meta(path, "last")) == ("there", "there too")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_what_is_saved_may_be_read_by_whoever_could_read_the_file(path: Path, mode: int) -> None:
    opened(path).close()
    path.chmod(mode)
    store = SQLiteStore(path)
    delete(path)

    before = os.umask(0o022)
    try:
        with pytest.raises(StateError, match="deleted or moved away"):
            store.set_meta(last="there too")
    finally:
        os.umask(before)
    store.close()

    assert path.with_name("state.db.1").stat().st_mode & 0o777 == mode


def test_the_file_of_another_run_keeps_its_log_and_its_lock(path: Path) -> None:
    store = opened(path)
    delete(path)
    other = opened(path)

    with pytest.raises(StateError, match="replaced by another"):
        store.set_meta(last="there too")
    with pytest.raises(StateError, match="replaced by another") as caught:
        store.set_meta(last="again")
    store.close()
    names = sorted(each.name for each in path.parent.iterdir())
    other.set_meta(after="kept")
    other.close()

    assert "move it away" in str(caught.value.hint)
    assert names == [
        "state.db",
        "state.db-shm",
        "state.db-wal",
        "state.db.1",
        "state.db.lock",
    ]
    assert meta(path, "after") == "kept"


def test_a_lock_that_was_deleted_ends_the_run_and_leaves_the_file_as_it_is(path: Path) -> None:
    store = opened(path)
    path.with_name("state.db.lock").unlink()

    with pytest.raises(StateError, match="another run may have begun") as caught:
        store.set_meta(last="there too")
    store.close()

    assert "run again" in str(caught.value.hint)
    assert meta(path, "last") == "there too"
    assert not path.with_name("state.db.1").exists()


def test_a_folder_that_is_gone_is_told_as_such(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    store = opened(folder / "state.db")
    shutil.rmtree(folder)

    with pytest.raises(StateError, match="cannot be saved") as caught:
        store.set_meta(last="there too")
    store.close()

    assert "back" in str(caught.value.hint)


def test_a_process_that_changes_its_folder_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = opened(Path("state.db"))
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")

    store.set_meta(last="there too")
    store.close()

    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["state.db"]
    assert meta(tmp_path / "state.db", "last") == "there too"


def test_a_lock_lets_go_of_its_own_file_only(path: Path) -> None:
    lock, other = RunLock(path), RunLock(path)
    lock.acquire()
    lock.path.unlink()
    other.acquire()

    lock.release()

    assert other.path.exists()
    other.release()


def test_a_budget_whose_file_is_gone_is_told_so(path: Path) -> None:
    file = SpendFile(path)
    delete(path)

    with pytest.raises(StateError, match="deleted or moved away"):
        file.write([Spend(*TOTAL, 5, 0, 5)])
    file.close()

    path.with_name("state.db.1").rename(path)
    again = SpendFile(path)
    assert again.read(*TOTAL).spent == 5
    again.close()
