"""Files that appear whole or not at all, and the syncing of files and their names to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: more files than this are brought to disk together, with all else that waits for it
_ONE_BY_ONE: Final = 64


@contextmanager
def atomic_file(target: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary name to write to; the file gets its own when the block ends without an error.

    `durable` syncs it and its name to disk; without it the caller does, for many at once.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        yield part
        if durable:
            _sync(part)
        part.replace(target)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(target.parent)


def atomic_write(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a small file whole or not at all."""
    with atomic_file(target, durable=durable) as part:
        part.write_bytes(data)


def sync_files(folder: Path, paths: Sequence[Path]) -> None:
    """Sync files of a folder, and their names, to disk."""
    if len(paths) > _ONE_BY_ONE and hasattr(os, "sync"):
        os.sync()
        return
    for path in paths:
        _sync(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Sync the names of a folder's files to disk; Windows has no such call and needs none."""
    if os.name != "nt":
        _sync(folder)


def numbered_name(path: Path) -> Path:
    """The next free `name.N` beside a file."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return aside


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
