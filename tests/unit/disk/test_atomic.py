from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchata.disk.atomic import atomic_file, atomic_write, numbered_name, sync_files


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.json"

    with atomic_file(target) as part:
        part.write_bytes(b"{")
        seen = target.exists()
        part.write_bytes(b"{}")

    assert not seen
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_bytes() == b"{}"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    atomic_write(target, b"old")

    def broken_off() -> None:
        with atomic_file(target) as part:
            part.write_bytes(b"half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()

    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("durable", "steps"),
    [(True, ["fsync", "replace", "fsync"]), (False, ["replace"])],
)
def test_bytes_reach_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool, steps: list[str]
) -> None:
    seen: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (seen.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(
        Path, "replace", lambda *names: (seen.append("replace"), replace(*names))[1]
    )

    atomic_write(tmp_path / "a", b"x", durable=durable)

    if os.name != "nt":
        assert seen == steps


def test_many_files_are_brought_to_the_disk_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / str(number) for number in range(65)]
    for path in paths:
        path.write_bytes(b"")
    seen: list[str] = []
    monkeypatch.setattr(os, "sync", lambda: seen.append("sync"), raising=False)
    monkeypatch.setattr(os, "fsync", lambda _: seen.append("fsync"))

    sync_files(tmp_path, paths)

    assert seen == ["sync"]


def test_a_name_that_is_taken_gets_the_next_number(tmp_path: Path) -> None:
    for name in ("a", "a.1", "a.2"):
        (tmp_path / name).touch()

    assert numbered_name(tmp_path / "a") == tmp_path / "a.3"
