"""Folders that cannot be written and disks that fill up: nothing paid is lost."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from run_lab import CLAUDE, GPT, MODELS, Lab, wait_until

from batchata import Batch, BatchataError
from batchata.core.errors import ResultsError, StateError
from batchata.gateway import HttpFault, Scenario
from batchata.stores.room import Room
from batchata.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from zygote import Zygote

VENDORS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


class FullDisk:
    """Opens files below a folder for writing only while there is room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
        self.is_full = True
        opened: Callable[..., Any] = Path.open
        written: Callable[..., int] = Path.write_bytes

        def refused(path: Path) -> bool:
            return self.is_full and path.is_relative_to(folder) and name in path.name

        def open_(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if refused(path) and set(mode) & set("wax+"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return opened(path, mode, *args, **kwargs)

        def write_bytes(path: Path, data: bytes) -> int:
            if refused(path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return written(path, data)

        monkeypatch.setattr(Path, "open", open_)
        monkeypatch.setattr(Path, "write_bytes", write_bytes)


@VENDORS
def test_a_disk_too_full_for_a_request_sends_nothing_and_says_so(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch, lab.out, "_sending_")

    with pytest.raises(ResultsError, match="No space left") as caught:
        lab.chat(10, model).run()

    assert "nothing was sent" in str(caught.value.hint)
    assert lab.ledger.batches == []
    disk.is_full = False
    assert lab.chat(10, model).run().status()["completed"] == 10


@VENDORS
def test_a_disk_too_full_for_the_answers_leaves_them_at_the_vendor_for_the_next_run(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch, lab.out / "raw_files" / "responses", "batch")

    with pytest.raises(BatchataError, match="No space left") as caught:
        lab.chat(10, model).run()

    assert caught.value.hint
    disk.is_full = False
    run = lab.chat(10, model).run()
    assert run.status()["completed"] == 10
    assert lab.ledger.billed_items == 10
    assert run.status()["cost_usd"] == lab.billed_usd


@pytest.mark.parametrize("result_format", ["json", "jsonl", "parquet"])
def test_results_that_cannot_be_written_are_kept_and_written_by_the_next_run(
    lab: Lab, result_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"json": "q3", "jsonl": "results", "parquet": "results"}[result_format]
    if result_format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        monkeypatch.setattr(parquet, "write_table", no_space)
    disk = FullDisk(monkeypatch, lab.out, name)

    with pytest.raises(ResultsError, match="No space left"):
        lab.chat(10, result_format=result_format).run()
    disk.is_full = False
    monkeypatch.undo()
    run = lab.chat(10, result_format=result_format).run()

    assert run.status()["completed"] == 10
    assert lab.ledger.billed_items == 10
    files = list(lab.out.glob("[qr]*.*"))
    assert len(files) == (10 if result_format == "json" else 1)


def no_space(*args: Any, **kwargs: Any) -> None:
    """Stand in for a writer on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_folder_that_may_not_be_written_is_named_before_anything_is_sent(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)

    with pytest.raises(ResultsError, match="Permission denied") as caught:
        lab.chat(3).run()

    assert "folder" in str(caught.value.hint)
    assert lab.ledger.batches == []


def test_a_file_in_place_of_the_raw_folder_is_named_and_nothing_is_sent(lab: Lab) -> None:
    lab.out.mkdir()
    (lab.out / "raw_files").write_text("mine")

    with pytest.raises(BatchataError, match="raw_files"):
        lab.chat(3, CLAUDE).run()

    assert (lab.out / "raw_files").read_text() == "mine"
    assert lab.ledger.batches == []


def run_sixty(address: str, limit: int) -> None:
    """A script that may write files up to this size."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    batch = Batch("out", raw_files=False).set_polling(0.001)
    batch.set_provider("openai", api_key="k", base_url=address)
    batch.set_default_params(model=GPT, max_tokens=60)
    for number in range(60):
        batch.add_job(prompt=f"question {number} " * 40, id=f"q{number}")
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    sys.stdout.write(str(batch.run().status()["completed"]))


@pytest.mark.parametrize("limit", [40_000, 90_000])
def test_a_state_file_that_may_not_grow_stops_the_run_and_the_next_one_finishes_it(
    lab: Lab, limit: int, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lab.folder)

    with zygote.start(run_sixty, lab.box.openai_base_url, limit) as stopped:
        said = stopped.stderr.read().decode()
        assert stopped.wait(60) == 1
    with zygote.start(run_sixty, lab.box.openai_base_url, 0) as again:
        assert again.stdout.read() == b"60"

    assert StateError.__name__ in said
    assert "hint:" in said
    assert set(lab.times_billed().values()) == {1}


def test_a_state_file_that_is_deleted_under_a_live_run_stops_it_and_is_saved(lab: Lab) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.05)
    lab.play(scenario=Scenario(http=(slow,)))
    run = lab.chat(100).set_route("live", concurrency=4).start()
    wait_until(lambda: run.status()["completed"] > 0)

    for each in lab.out.glob("state.db*"):
        each.unlink()
    with pytest.raises(StateError, match="deleted or moved away"):
        run.wait()
    asked = len(lab.box.requests)
    lab.play()
    lab.state_file.with_name("state.db.1").rename(lab.state_file)
    again = lab.chat(100).set_route("live").run()

    assert asked < 100
    assert again.status()["completed"] == 100
    assert len(lab.ledger.live) <= 100 + 2 * 4  # those in flight


def test_a_state_file_that_is_deleted_under_a_batch_run_is_saved_with_its_batches(
    lab: Lab,
) -> None:
    lab.play(scenario=Scenario(latency_seconds=3_600))
    run = lab.chat(20).start()
    wait_until(lambda: run.status()["batches_pending"] == 2)

    for each in lab.out.glob("state.db*"):
        each.unlink()
    lab.play(scenario=Scenario(clock_skew_seconds=3_601))
    with pytest.raises(StateError, match="deleted or moved away"):
        run.wait()
    lab.state_file.with_name("state.db.1").rename(lab.state_file)
    again = lab.chat(20).run()

    assert again.status()["completed"] == 20
    assert lab.ledger.billed_items == 20


def test_a_disk_too_full_for_raw_files_loses_no_live_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.2)
    lab.play(scenario=Scenario(http=(slow,)))
    disk = FullDisk(monkeypatch, lab.out / "raw_files", "live_")

    with pytest.raises(ResultsError, match="No space left") as caught:
        lab.chat(100).set_route("live", concurrency=8).run()

    asked = len(lab.ledger.live)
    disk.is_full = False
    lab.play()
    again = lab.chat(100).set_route("live").run()

    assert "raw_files=False" in str(caught.value.hint)
    assert asked < 100
    assert again.status()["completed"] == len(lab.ledger.live) == 100
    assert again.status()["possibly_billed"] == 0


class FullState:
    """Lets no state file grow from a moment on, but for the room that a run has kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._opened: list[sqlite3.Connection] = []
        connect, give_back = SQLiteStore._connect, Room.give_back

        def connected(store: SQLiteStore) -> sqlite3.Connection:
            self._opened.append(connect(store))
            return self._opened[-1]

        def given_back(room: Room) -> bool:
            was_there = give_back(room)
            self._allow(1_000_000)
            return was_there

        monkeypatch.setattr(SQLiteStore, "_connect", connected)
        monkeypatch.setattr(Room, "give_back", given_back)

    def begin(self) -> None:
        """Be full."""
        self._allow(1)  # what there is stays

    def _allow(self, pages: int) -> None:
        self._opened[0].execute(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_keeps_what_calls_on_their_way_bring(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.2)
    lab.play(scenario=Scenario(http=(slow,)))
    disk = FullState(monkeypatch)

    run = lab.chat(100).set_route("live", concurrency=8).start()
    wait_until(lambda: run.status()["completed"] > 0)
    disk.begin()
    with pytest.raises(StateError, match="no room left") as caught:
        run.wait()
    asked = len(lab.ledger.live)
    monkeypatch.undo()
    lab.play()
    again = lab.chat(100).set_route("live").run()

    assert "free some space" in str(caught.value.hint)
    assert asked < 100
    assert again.status()["completed"] == len(lab.ledger.live) == 100
    assert again.status()["possibly_billed"] == 0
