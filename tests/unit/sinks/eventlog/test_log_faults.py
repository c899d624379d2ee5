"""The event log after kills, on full disks, and where it cannot write."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from log_lab import DAY, NOON, Killed, event, ids, let_die, several_files, still

from batchata.core.errors import EventLogError
from batchata.sinks.eventlog import EventLog, LoggedEvent, compact_events, read_events
from batchata.sinks.eventlog import log as module

if TYPE_CHECKING:
    from zygote import Zygote


def write_and_die(folder: Path) -> None:
    """What a process does before it is killed."""
    log = EventLog(folder, buffer_size=100, flush_seconds=1e6)
    for number in range(250):
        log.write(LoggedEvent(event_type="llm_end", custom_id=str(number)))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_loses_no_event(tmp_path: Path, zygote: Zygote) -> None:
    with zygote.start(write_and_die, tmp_path / "logs") as child:
        child.wait()

    with still(tmp_path / "logs") as log:
        log.flush()

    assert child.returncode == -signal.SIGKILL
    assert sorted(map(int, ids(tmp_path / "logs"))) == list(range(250))


@pytest.mark.parametrize("step", range(16))
def test_a_log_cut_off_at_any_step_is_whole_again_and_has_no_event_twice(
    step: int, tmp_path: Path, power: list[int]
) -> None:
    log, told = still(tmp_path / "logs"), []
    power[0] = step
    try:
        for number in range(4):
            log.write(event(number, timestamp_us=NOON + number // 2 * DAY))
            told.append(f"row-{number}")
        log.flush()
    except Killed:
        let_die(log)
    power[0] = 10**9

    with still(tmp_path / "logs") as after:
        after.flush()

    assert [each for each in ids(tmp_path / "logs") if each in told] == told
    assert len(set(ids(tmp_path / "logs"))) == len(ids(tmp_path / "logs"))


def test_a_journal_whose_last_line_was_cut_is_read_up_to_there(tmp_path: Path) -> None:
    log = still(tmp_path / "logs")
    log.write(event(1))
    log.write(event(2))
    journal = log._journal
    assert journal is not None
    os.ftruncate(journal.fd, journal.size_bytes - 5)
    let_die(log)

    still(tmp_path / "logs").flush()

    assert ids(tmp_path / "logs") == ["row-1"]


def test_a_damaged_journal_is_kept_and_its_other_events_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = still(tmp_path / "logs")
    log.write(event(1))
    assert log._journal is not None
    log._journal.append(b"}{\n")
    log.write(event(2))
    let_die(log)

    still(tmp_path / "logs").flush()

    assert ids(tmp_path / "logs") == ["row-1", "row-2"]
    assert [path.suffix for path in (tmp_path / "logs.journal").iterdir()] == [".damaged"]
    assert "cannot be read" in caplog.text


def test_of_events_that_were_written_together_all_before_the_cut_are_read(tmp_path: Path) -> None:
    log = still(tmp_path / "logs")
    log.write_many(event(number) for number in range(5))
    assert log._journal is not None
    os.ftruncate(log._journal.fd, log._journal.size_bytes - 400)
    let_die(log)

    still(tmp_path / "logs").flush()

    found = ids(tmp_path / "logs")
    assert 0 < len(found) < 5
    assert found == [f"row-{number}" for number in range(len(found))]
    assert not (tmp_path / "logs.journal").exists()


def test_one_damaged_event_costs_none_of_those_written_with_it(tmp_path: Path) -> None:
    log = still(tmp_path / "logs")
    log.write_many(event(number) for number in range(3))
    log.write(event(3))
    assert log._journal is not None
    path = log._journal.path
    path.write_bytes(path.read_bytes().replace(b'"answer 1"', b"answer 1"))
    let_die(log)

    still(tmp_path / "logs").flush()

    assert ids(tmp_path / "logs") == ["row-0", "row-2", "row-3"]
    assert [each.suffix for each in (tmp_path / "logs.journal").iterdir()] == [".damaged"]


def test_a_journal_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "logs.journal"
    folder.mkdir()
    lines = [
        b'{"logger_metadata":"{}"}',
        *(b'[%d,"run","row-%d","llm_end","p",{"data":%d}]' % (NOON, n, n) for n in range(3)),
        b'[17000,"run","row-3","llm_e',
    ]
    (folder / "host-1-abc.jsonl").write_bytes(b"\n".join(lines))

    still(tmp_path / "logs").flush()

    found = read_events(tmp_path / "logs")
    assert list(found["logger_custom_id"]) == ["row-0", "row-1", "row-2"]
    assert list(found["payload"]) == ['{"data":0}', '{"data":1}', '{"data":2}']
    assert not folder.exists()


def test_half_a_character_in_a_name_reaches_journal_and_file(tmp_path: Path) -> None:
    log = still(tmp_path / "logs")
    log.write_many([event(0, custom_id="a\ud800"), event(1)])
    let_die(log)

    still(tmp_path / "logs").flush()

    assert ids(tmp_path / "logs") == ["a?", "row-1"]


def test_the_journal_of_a_living_log_is_left_alone(tmp_path: Path) -> None:
    with still(tmp_path / "logs") as one, still(tmp_path / "logs") as two:
        one.write(event(1))
        two.write(event(2))

        two.flush()

        assert ids(tmp_path / "logs") == ["row-2"]
    assert ids(tmp_path / "logs") == ["row-1", "row-2"]


def test_what_cannot_be_written_is_kept_told_and_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    where = tmp_path / "logs"
    where.write_text("in the way")
    log = still(where)
    log.write(event(1))

    assert not log.flush()
    log.write(event(2))
    assert not log.flush()

    assert log.error is not None
    assert "logs.journal" in caplog.text
    where.unlink()
    assert log.flush()
    assert log.error is None
    assert ids(where) == ["row-1", "row-2"]
    assert log.close()


def test_what_could_never_be_written_is_left_for_the_next_log(tmp_path: Path) -> None:
    where = tmp_path / "logs"
    where.write_text("in the way")
    log = still(where)
    log.write(event(1))
    assert not log.close()
    where.unlink()

    with still(where) as after:
        after.flush()

    assert ids(where) == ["row-1"]


def test_a_log_that_may_fail_a_run_raises(tmp_path: Path) -> None:
    where = tmp_path / "logs"
    where.write_text("in the way")
    log = still(where, on_failure="error")
    log.write(event(1))

    with pytest.raises(EventLogError, match="cannot be written"):
        log.flush()
    with pytest.raises(EventLogError, match="cannot be written"):
        log.write(event(2))

    where.unlink()
    assert log.close()
    assert ids(where) == ["row-1", "row-2"]


def test_a_log_that_may_fail_a_run_raises_at_its_end_too(tmp_path: Path) -> None:
    where = tmp_path / "logs"
    where.write_text("in the way")
    log = still(where, on_failure="error")
    log.write(event(1))

    with pytest.raises(EventLogError, match="cannot be written"):
        log.close()


def test_events_are_held_in_memory_when_no_journal_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journal").write_text("in the way")
    log = still(tmp_path / "logs", journal_dir=tmp_path / "journal")

    for number in range(3):
        log.write(event(number))

    assert "held in memory" in caplog.text
    assert log.close()
    assert len(ids(tmp_path / "logs")) == 3


def test_a_journal_that_is_full_half_way_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = still(tmp_path / "logs")
    log.write(event(1))
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        log.write(event(2))
        log.write(event(3))

    log.close()

    assert ids(tmp_path / "logs") == ["row-1", "row-2", "row-3"]


def test_memory_has_an_end_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_HOMELESS", 2)
    (tmp_path / "journal").write_text("in the way")
    log = still(tmp_path / "logs", journal_dir=tmp_path / "journal")
    log.write(event(1))
    log.write(event(2))

    with pytest.raises(EventLogError, match="1 events are lost"):
        log.write(event(3))

    assert log.lost == 1
    log.close()


@pytest.mark.parametrize("step", range(14))
def test_compacting_cut_off_at_any_step_loses_and_doubles_nothing(
    step: int, tmp_path: Path, power: list[int]
) -> None:
    several_files(tmp_path)
    power[0] = step
    try:
        compact_events(tmp_path)
    except Killed:
        power[0] = 10**9

    assert ids(tmp_path) == [f"row-{number}" for number in range(6)]
    compact_events(tmp_path)
    assert ids(tmp_path) == [f"row-{number}" for number in range(6)]
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_events_that_were_compacted_already_are_not_adopted_again(
    tmp_path: Path, power: list[int]
) -> None:
    other = still(tmp_path / "logs")
    other.write(event(2))
    other.flush()
    log = still(tmp_path / "logs")
    log.write(event(1))
    power[0] = 4  # the file is in its place, its journal is not gone yet
    with pytest.raises(Killed):
        log.flush()
    power[0] = 10**9
    compact_events(tmp_path / "logs")
    let_die(log)

    still(tmp_path / "logs").flush()

    assert ids(tmp_path / "logs") == ["row-1", "row-2"]


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_a_journal_folder_that_goes_away_meanwhile_is_made_again(
    error: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another log removed it, empty as it was, in the middle of our making it."""
    real, left = Path.mkdir, [2]

    def racing(path: Path, *args: Any, **options: Any) -> None:
        if path.name == "logs.journal" and left[0]:
            left[0] -= 1
            raise error(path)
        real(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", racing)
    log = still(tmp_path / "logs")

    log.write(event(1))

    assert log._journal is not None
    assert log.error is None
    assert log.close()


FORGETFUL = """
import sys
from batchata.sinks.eventlog import EventLog, LoggedEvent
EventLog(sys.argv[1]).write(LoggedEvent(event_type="llm_end", custom_id="a"))
"""


def test_a_program_that_ends_without_closing_its_log_has_everything_in_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGETFUL, tmp_path / "logs"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert ids(tmp_path / "logs") == ["a"]
    assert not (tmp_path / "logs.journal").exists()


def test_what_memory_alone_holds_is_sheltered_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "passing"))
    full = tmp_path / "full"
    full.touch()  # no folder can be made in it
    with still(full / "logs", journal_dir=full / "journal") as log:
        for number in range(3):
            log.write(event(number))

    shelter = tmp_path / "passing" / f"batchata-events-{os.getuid()}"
    with still(tmp_path / "logs", journal_dir=shelter) as after:
        after.flush()

    assert "3 events of" in caplog.text
    assert str(shelter) in caplog.text
    assert ids(tmp_path / "logs") == ["row-0", "row-1", "row-2"]
    assert log.lost == 0


def test_events_that_no_disk_takes_are_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = tmp_path / "full"
    full.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(full))
    with still(full / "logs", journal_dir=full / "journal") as log:
        log.write(event())

    assert log.lost == 1
    assert "1 events of" in caplog.text
    assert "are lost" in caplog.text
