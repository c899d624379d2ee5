"""The state file itself: versions, locks, readers beside a run, and a file that can be copied."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from batchata.core.errors import StateError, StateLockedError, StateVersionError
from batchata.core.events import (
    JobsAdded,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, Shape, Submission
from batchata.stores import schema
from batchata.stores.sqlite import SQLiteStore

SHAPE = ShapeAdded(number=0, shape=Shape(provider="fake", endpoint="/fake", model="m"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the state file is."""
    return tmp_path / "state.db"


def jobs(*seqs: int) -> JobsAdded:
    """Plain jobs with these numbers."""
    return JobsAdded(rows=[JobRow(n, f"j{n}", 0, b"{}", None, None, 1, 1, 10) for n in seqs])


def intent(token: str, *seqs: int) -> SubmissionIntended:
    """A batch of these jobs, about to be sent."""
    submission = Submission(
        token=token,
        provider="fake",
        endpoint="/fake",
        model="m",
        wire_version="",
        seqs=array("I", seqs),
        status=SubmissionStatus.INTENDED,
        intended_us=1,
    )
    return SubmissionIntended(submission=submission)


def filled(path: Path, count: int = 3) -> SQLiteStore:
    """A new state file with jobs."""
    store = SQLiteStore(path)
    store.commit(SHAPE, jobs(*range(count)))
    return store


def test_a_closed_state_file_stands_alone_and_can_be_copied(path: Path, tmp_path: Path) -> None:
    filled(path).close()

    shutil.copy(path, tmp_path / "copy.db")

    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "state.db"]
    copied = SQLiteStore(tmp_path / "copy.db")
    assert len(copied.load()) == 3
    copied.close()


def test_a_reader_in_the_middle_of_the_file_does_not_hold_up_the_end_of_a_run(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = filled(path)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM jobs").fetchall()
    store.commit(intent("t", 0))
    store._db.execute("PRAGMA busy_timeout=600000")  # for so long it would wait by itself

    store.close()

    assert "a copy needs state.db-wal too" in caplog.text
    reader.close()
    again = SQLiteStore(path)
    assert list(again.load().submissions) == ["t"]
    again.close()


def test_the_file_says_whose_it_is_and_of_which_version(path: Path) -> None:
    filled(path).close()

    db = sqlite3.connect(path)
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()

    assert (application, version) == (schema.APPLICATION_ID, schema.VERSION)


def test_two_writers_do_not_share_a_state_file(path: Path) -> None:
    first = SQLiteStore(path)

    with pytest.raises(StateLockedError, match=f"process {os.getpid()}"):
        SQLiteStore(path)

    first.close()
    SQLiteStore(path).close()


def test_a_lock_dies_with_its_process(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; "
        "from batchata.stores.sqlite import SQLiteStore; "
        "SQLiteStore(Path(sys.argv[1])); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)

    store = SQLiteStore(path)

    assert killed.returncode == 9
    store.close()


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE theirs(a)", "PRAGMA user_version=1", "PRAGMA application_id=7"]
)
def test_a_database_of_another_program_is_refused_and_left_as_it_is(path: Path, sql: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as theirs:
        theirs.execute(sql)
    before = path.read_bytes()

    with pytest.raises(StateError, match="of another program"):
        SQLiteStore(path)

    assert path.read_bytes() == before


def test_a_refused_file_keeps_no_lock(path: Path) -> None:
    path.write_bytes(b"not a state file, and long enough to be told from a header of SQLite" * 2)
    with pytest.raises(StateError):
        SQLiteStore(path)

    path.unlink()

    SQLiteStore(path).close()


def test_others_read_beside_a_run_and_see_what_is_committed(path: Path) -> None:
    writer = filled(path)
    reader = SQLiteStore(path, read_only=True)
    before = reader.known_ids()

    writer.commit(jobs(3))

    assert before == {"j0": 0, "j1": 1, "j2": 2}
    assert reader.known_ids()["j3"] == 3
    reader.close()
    writer.close()


def test_a_reader_cannot_write(path: Path) -> None:
    filled(path).close()
    reader = SQLiteStore(path, read_only=True)

    with pytest.raises(StateError, match="readonly"):
        reader.commit(jobs(3))

    reader.close()


def test_a_reader_makes_no_file(path: Path) -> None:
    with pytest.raises(StateError, match="no state file"):
        SQLiteStore(path, read_only=True)

    assert not path.exists()


def test_a_newer_version_is_refused_for_writing_and_reading(path: Path) -> None:
    filled(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    db.close()

    for read_only in (False, True):
        with pytest.raises(StateVersionError):
            SQLiteStore(path, read_only=read_only)


def test_a_job_missing_from_the_file_is_found_at_once(path: Path) -> None:
    filled(path).close()
    db = sqlite3.connect(path)
    db.execute("DELETE FROM jobs WHERE seq=1")
    db.commit()
    db.close()
    store = SQLiteStore(path)

    with pytest.raises(StateError, match="no job 1"):
        store.load()

    store.close()


def test_a_commit_costs_the_same_however_large_the_file_is(path: Path) -> None:
    store = filled(path, 2_000)
    store._db.execute("PRAGMA wal_autocheckpoint=0")
    wal = path.with_name(path.name + "-wal")

    def grown_by(seq: int) -> int:
        before = wal.stat().st_size
        store.commit(intent(f"t{seq}", seq))
        outcome = Outcome(seq=seq, status=JobStatus.SUCCEEDED, attempt=1, token=f"t{seq}")
        store.commit(OutcomesRecorded(outcomes=[outcome], closes=f"t{seq}"))
        return wal.stat().st_size - before

    grown = [grown_by(seq) for seq in range(200)]

    assert sum(grown[100:]) <= 1.2 * sum(grown[:100])
    store.close()


def test_a_small_batch_writes_few_pages(path: Path) -> None:
    store = SQLiteStore(path, small_commits=True)
    store.commit(SHAPE, jobs(*range(1_000)))
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store._db.execute("PRAGMA wal_autocheckpoint=0")

    for first in range(0, 1_000, 10):
        token, seqs = f"b{first:015x}", range(first, first + 10)
        store.commit(intent(token, *seqs))
        creating, accepted = SubmissionStatus.CREATING, SubmissionStatus.ACCEPTED
        store.commit(SubmissionMoved(token=token, status=creating, input_ref="file-" + "f" * 24))
        store.commit(SubmissionMoved(token=token, status=accepted, remote_id="batch_" + "b" * 32))
        ended = [
            Outcome(seq=n, status=JobStatus.SUCCEEDED, attempt=1, token=token, text="x" * 160)
            for n in seqs
        ]
        store.commit(OutcomesRecorded(outcomes=ended, closes=token))

    written = path.with_name(path.name + "-wal").stat().st_size
    store.close()
    assert written < 33_000 * 100  # four commits, and the pages that ten answers take


def test_a_submission_of_an_earlier_process_is_known_by_its_token(path: Path) -> None:
    store = filled(path)
    store.commit(intent("open", 0))
    store.commit(intent("ended", 1))
    ended = Outcome(seq=1, status=JobStatus.FAILED, attempt=1, token="ended")
    store.commit(OutcomesRecorded(outcomes=[ended], closes="ended"))
    store.close()

    again = SQLiteStore(path)
    again.commit(SubmissionMoved(token="open", status=SubmissionStatus.DROPPED, note="gone"))
    again.commit(OutcomesRecorded(outcomes=[ended]))

    known = again.load().submissions
    assert (known["open"].status, known["open"].note) == (SubmissionStatus.DROPPED, "gone")
    assert known["ended"].status is SubmissionStatus.COLLECTED
    with pytest.raises(StateError, match="no submission 'never'"):
        again.commit(SubmissionMoved(token="never", status=SubmissionStatus.DROPPED))
    again.close()


def test_a_commit_that_failed_can_be_made_again(path: Path) -> None:
    store = filled(path)
    store._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StateError):
        store.commit(intent("t", 0))
    store._db.execute("PRAGMA query_only=OFF")

    store.commit(intent("t", 0))

    assert list(store.load().submissions) == ["t"]
    store.close()


def test_commits_are_on_the_disk_before_they_return(path: Path) -> None:
    store = filled(path)

    synchronous = store._db.execute("PRAGMA synchronous").fetchone()[0]
    mode = store._db.execute("PRAGMA journal_mode").fetchone()[0]

    assert (synchronous, mode) == (2, "wal")
    store.close()


def test_a_reader_that_stays_keeps_nothing_from_the_file(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = filled(path, 3)
    reader = SQLiteStore(path, read_only=True)
    store.close()
    copy = shutil.copy(path, path.with_name("copy.db"))
    reader.close()

    copied = SQLiteStore(copy, read_only=True)

    assert len(copied.load()) == 3
    assert not caplog.records
    copied.close()


def test_an_earlier_file_is_put_aside_before_anybody_else_can_have_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, 2).close()
    rename, refused = Path.rename, []

    def watched(self: Path, target: Path) -> Path:
        with pytest.raises(StateLockedError) as caught:
            SQLiteStore(path)
        refused.append(caught.value)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", watched)
    store = SQLiteStore(path, sets_aside=True)

    assert len(refused) == 1
    assert len(store.load()) == 0
    store.close()
    aside = SQLiteStore(path.with_name("state.db.1"), read_only=True)
    assert len(aside.load()) == 2
    aside.close()


def test_a_file_that_a_kill_left_is_put_aside_with_its_last_commits(
    path: Path, tmp_path: Path
) -> None:
    store = SQLiteStore(path)
    store.commit(SHAPE, jobs(0, 1, 2))
    for each in tmp_path.glob("state.db*"):
        if not each.name.endswith((".lock", "-shm")):
            shutil.copy(each, each.with_name(each.name.replace("state", "killed")))
    store.close()

    SQLiteStore(tmp_path / "killed.db", sets_aside=True).close()

    aside = SQLiteStore(tmp_path / "killed.db.1", read_only=True)
    assert len(aside.load()) == 3
    aside.close()


def test_a_folder_that_takes_no_new_name_keeps_its_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path).close()

    def refuses(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuses)
    with pytest.raises(StateError, match="cannot be put aside: Permission denied"):
        SQLiteStore(path, sets_aside=True)

    store = SQLiteStore(path)
    assert len(store.load()) == 3
    store.close()


def test_a_fault_of_ours_is_not_blamed_on_the_disk(path: Path) -> None:
    store = filled(path)
    store._db.execute("DROP TABLE answers")
    outcome = Outcome(seq=0, status=JobStatus.FAILED, attempt=1)

    with pytest.raises(StateError, match="no such table") as caught:
        store.commit(OutcomesRecorded(outcomes=[outcome]))

    assert "fault of batchata" in str(caught.value.hint)
    store.close()


def test_a_full_disk_is_named(path: Path) -> None:
    store = filled(path)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(StateError, match="full") as caught:
        store.commit(JobsAdded(rows=[JobRow(3, "j3", 0, b"x" * 99999, None, None, 1, 1, 10)]))

    assert "free some space" in str(caught.value.hint)
    store.close()
