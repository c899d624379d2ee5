"""Lines of the gateway's logs on a disk that is full, and in a file that somebody moves."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.gateway.proxy.disk import lines
from batchata.gateway.proxy.disk.lines import LineFile


class Disk:
    """A disk with room for so many bytes more; None: for any number."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.write = os.write

    def take(self, fd: int, data: memoryview) -> int:
        if self.room is None:
            return self.write(fd, data)
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self.write(fd, data[: self.room])
        self.room -= taken
        return taken


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "write", made.take)
    return made


def rows(path: Path) -> list[int]:
    return [orjson.loads(line)["n"] for line in path.read_bytes().splitlines()]


@given(
    steps=st.lists(st.none() | st.integers(0, 40), max_size=12), moves=st.sets(st.integers(0, 11))
)
def test_no_line_is_lost_or_cut_while_memory_holds_what_the_disk_does_not(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None], moves: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path, disk = folder / "log.jsonl", Disk()

    async def write() -> list[Path]:
        file, moved = LineFile(path), []
        file.open()
        for number, room in enumerate(steps):
            disk.room = room
            file.add({"n": number})
            await file.flush()
            if number in moves:
                moved.append(path.rename(folder / f"log.{number}"))
        disk.room = None
        await file.aclose()
        assert file.lost == 0
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk.take)
        moved = asyncio.run(write())

    whole = [
        orjson.loads(line)["n"]
        for each in [*moved, *([path] if path.exists() else [])]
        for line in each.read_bytes().splitlines(keepends=True)
        if line.endswith(b"}\n") and line.startswith(b"{")
    ]
    cut = sum(not each.read_bytes().endswith(b"\n") for each in moved if each.stat().st_size)
    assert whole == sorted(set(whole))
    assert len(whole) >= len(steps) - cut, "only what began in a file that was moved may be cut"
    if path.exists():
        assert rows(path) == sorted(rows(path))


def test_a_disk_that_is_full_is_told_once_and_so_is_its_end(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log.jsonl"

    async def write() -> None:
        file = LineFile(path)
        file.open()
        for room in (5, 0, 0, None):
            disk.room = room
            file.add({"n": len(caplog.records)})
            await file.flush()
        await file.aclose()

    asyncio.run(write())

    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "No space left on device" in caplog.records[0].message
    assert rows(path) == [0, 1, 1, 1]


def test_what_memory_does_not_hold_either_is_counted(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lines, "MOST_HELD_BYTES", 20)

    async def write() -> LineFile:
        file = LineFile(tmp_path / "log.jsonl")
        file.open()
        disk.room = 0
        for number in range(10):
            file.add({"n": number})
            await file.flush()
        assert file.held_bytes < 40
        disk.room = None
        await file.aclose()
        return file

    file = asyncio.run(write())

    assert rows(file.path) == [0, 1, 2]
    assert file.lost == 7
    assert "7 lines of" in caplog.records[-1].message


def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "log.jsonl"

    async def write() -> None:
        file = LineFile(path)
        file.open()
        file.add({"n": 1})
        await file.flush()
        path.parent.rename(tmp_path / "old")
        file.add({"n": 2})
        await file.flush()
        await file.aclose()

    asyncio.run(write())

    assert rows(tmp_path / "old" / "log.jsonl") == [1]
    assert rows(path) == [2]
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_that_another_gateway_is_writing_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    async def write() -> None:
        first, second, third = LineFile(path), LineFile(path), LineFile(path)
        first.open()
        with path.open("ab", buffering=0) as other:  # it has written half of a line
            other.write(b'{"n":')
            second.open()
            other.write(b"1}\n")
            other.write(b'{"n":')
        await first.aclose()
        third.open()  # one of them lives: not even now
        assert path.read_bytes() == b'{"n":1}\n{"n":'
        await third.aclose()
        await second.aclose()

        last = LineFile(path)
        last.open()
        last.add({"n": 3})
        await last.aclose()

    asyncio.run(write())
    assert rows(path) == [1, 3]
