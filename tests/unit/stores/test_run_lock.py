from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from batchata.core.errors import StateError, StateLockedError
from batchata.stores.lock import RunLock

fcntl = pytest.importorskip("fcntl")

_HOLD = """
import fcntl, os, signal, socket, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
print("held", flush=True)
signal.pause()
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


def held(state: Path, pid: int) -> int:
    """A file descriptor that holds the lock of a state, in the name of a process."""
    fd = os.open(f"{state}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(fd, f"process {pid} on {socket.gethostname()}".encode())
    return fd


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_a_lock_whose_holder_is_dead_is_waited_for(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, lock = held(state, dead_pid()), RunLock(state)
    monkeypatch.setattr(time, "sleep", lambda _: os.close(fd))

    lock.acquire()

    assert lock.path.read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    lock.release()


def test_a_lock_that_a_dead_run_left_to_a_child_is_told_as_such(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, naps = held(state, dead_pid()), list[float]()
    monkeypatch.setattr(time, "sleep", naps.append)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(naps)))

    with pytest.raises(StateLockedError, match="which is gone, and a process that it started"):
        RunLock(state).acquire()

    assert 1 < len(naps) < 10
    os.close(fd)


def test_a_lock_of_a_living_run_is_refused_at_once(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd = held(state, os.getpid())
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))

    with pytest.raises(StateLockedError, match=f"in use by process {os.getpid()} on"):
        RunLock(state).acquire()

    os.close(fd)


def test_a_run_begins_as_soon_as_one_that_was_killed_lets_go(state: Path) -> None:
    command = [sys.executable, "-S", "-c", _HOLD, f"{state}.lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)  # and is not waited for

        lock = RunLock(state)
        lock.acquire()

    lock.release()


def test_a_system_without_locks_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchata.stores.lock.fcntl", None)

    with pytest.raises(StateError, match="no locks") as caught:
        RunLock(tmp_path / "state.db").acquire()

    assert "WSL" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []
