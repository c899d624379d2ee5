"""One run per state file, readers at any time, torn writes and full disks."""

from __future__ import annotations

import random
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kill_arena import Arena, Baseline
from kill_plans import Plan
from thoroughness import IS_THOROUGH, how_often

from batchata.core.errors import StateError, StateLockedError
from batchata.gateway import Scenario
from batchata.stores.reader import ResultReader
from batchata.stores.sqlite import SQLiteStore

QUICK = Plan(name="quick", jobs=9, items_per_batch=3)
SLOW = replace(QUICK, max_parallel_batches=3, scenario=Scenario(latency_seconds=3_600))
FULL_DISKS = range(0, 60, 4 if IS_THOROUGH else 12)
TORN_LOGS = how_often(12)
#: the write at which the disk becomes one, with raw files or without
READ_ONLY_DISKS = [
    (share, raw_files)
    for number, share in enumerate(range(2, 90, 22))
    for raw_files in (True, False)
    if IS_THOROUGH or raw_files == (number % 2 == 0)
]


@pytest.fixture(scope="module")
def calm(killing: Arena) -> Baseline:
    """How an undisturbed run goes."""
    return killing.baseline(QUICK)


@contextmanager
def running(arena: Arena, plan: Plan, folder: Path) -> Iterator[None]:
    """The script runs in a process of its own while the block does something else."""
    thread = threading.Thread(target=arena.run, args=(plan, folder))
    thread.start()
    end = time.monotonic() + 60
    while not has_submissions(folder / "state.db") and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield
    finally:
        arena.play(replace(plan, scenario=Scenario(clock_skew_seconds=3_601)))
        thread.join()


def has_submissions(path: Path) -> bool:
    """True when the run has written down what it sends."""
    try:
        reader = SQLiteStore(path, read_only=True)
    except StateError:
        return False
    try:
        return bool(reader.table.submission_rows())
    except StateError:
        return False
    finally:
        reader.close()


def test_a_second_run_is_refused_and_told_who_has_the_file(killing: Arena) -> None:
    folder = killing.new_case(SLOW)

    with running(killing, SLOW, folder), pytest.raises(StateLockedError) as refused:
        SQLiteStore(folder / "state.db")

    assert re.search(r"in use by process \d+ on ", str(refused.value))


def test_a_killed_run_leaves_no_lock(killing: Arena, calm: Baseline) -> None:
    folder = killing.new_case(QUICK)
    middle = calm.points[len(calm.points) // 2]

    assert killing.run(QUICK, folder, kill=middle).was_killed
    SQLiteStore(folder / "state.db").close()


def test_others_read_while_a_run_writes(killing: Arena) -> None:
    folder = killing.new_case(SLOW)

    with running(killing, SLOW, folder):
        reader = ResultReader(folder / "state.db")
        total = len(list(reader.seqs()))
        submitted = [str(result.status) for result in reader.read(reader.seqs())]
        reader.close()

    assert total == QUICK.jobs
    assert "submitted" in submitted


def test_others_read_what_a_killed_run_left(killing: Arena, calm: Baseline) -> None:
    folder = killing.new_case(QUICK)
    killing.run(QUICK, folder, kill=("state: after outcomes commit", 1))

    reader = ResultReader(folder / "state.db")
    found = [str(result.status) for result in reader.read(reader.seqs())]
    reader.close()

    assert found.count("succeeded") >= 2


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(TORN_LOGS))
def test_a_log_that_was_torn_by_a_power_cut_still_opens_with_all_that_came_before(
    killing: Arena, calm: Baseline, seed: int
) -> None:
    chance = random.Random(seed)
    folder = killing.new_case(QUICK)
    killing.run(QUICK, folder, kill=chance.choice(calm.points[len(calm.points) // 3 :]))
    log = folder / "state.db-wal"
    if not log.exists():
        return  # it was killed after the log had been folded in
    size = log.stat().st_size
    before = submissions(folder / "state.db", folder / "copy-before")

    with log.open("r+b") as file:
        file.truncate(chance.randrange(size + 1))
    after = submissions(folder / "state.db", folder / "copy-after")
    outcome = killing.run(QUICK, folder)

    assert after == before[: len(after)], "what is read is not what was written first"
    assert outcome.report["status"]["completed"] == str(QUICK.jobs)
    assert len(outcome.results) == QUICK.jobs


def submissions(path: Path, copy: Path) -> list[str]:
    """Tokens in a copy of the state file, so that opening it changes nothing."""
    copy.mkdir()
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copy(source, copy / source.name)
    store = SQLiteStore(copy / path.name)
    try:
        return [row[1] for row in store.table.submission_rows()]
    finally:
        store.close()


@pytest.mark.sampled
@pytest.mark.parametrize("share", FULL_DISKS)
def test_a_full_disk_ends_the_run_with_a_clear_error_and_a_later_run_finishes_it(
    killing: Arena, calm: Baseline, share: int
) -> None:
    folder = killing.new_case(QUICK)

    outcome = killing.run(QUICK, folder, disk_full_after=share)
    error = outcome.report.get("error", "")
    again = killing.run(QUICK, folder)

    assert not error or error.startswith(("StateError: ", "ResultsError: ")), error
    assert not error or "hint: " in error
    killing.check(calm, folder, again)


@pytest.mark.sampled
@pytest.mark.parametrize(("share", "raw_files"), READ_ONLY_DISKS)
def test_a_disk_that_becomes_read_only_is_no_worse_than_a_full_one(
    killing: Arena, calm: Baseline, share: int, raw_files: bool
) -> None:
    plan = replace(QUICK, raw_files=raw_files)
    folder = killing.new_case(plan)

    outcome = killing.run(plan, folder, disk_full_after=share, is_read_only=True)
    again = killing.run(plan, folder)

    assert outcome.report["error"].startswith(("StateError: ", "ResultsError: "))
    assert "hint: " in outcome.report["error"]
    killing.check(replace(calm, plan=plan), folder, again)


@pytest.mark.parametrize("limit", [20_000, 100_000, 150_000])
def test_a_file_size_limit_is_no_worse_than_a_full_disk(
    killing: Arena, calm: Baseline, limit: int
) -> None:
    folder = killing.new_case(QUICK)

    outcome = killing.run(QUICK, folder, file_limit_bytes=limit)

    assert outcome.report["error"].startswith(("StateError: ", "ResultsError: "))
    killing.check(calm, folder, killing.run(QUICK, folder))


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_is_sent(
    killing: Arena,
) -> None:
    folder = killing.new_case(QUICK)
    (folder / "state.db").mkdir()

    outcome = killing.run(QUICK, folder)

    assert outcome.report["error"].startswith("StateError: ")
    assert not killing.ledger().batches
