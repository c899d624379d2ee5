"""Keeps events on this machine's disk from when they happen until their Parquet file is written.

A journal belongs to one process, which locks it; the journal of a dead process is adopted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from batchata.sinks.eventlog.table import Head, Rows

try:
    import fcntl
except ImportError:  # Windows: no process adopts another's journal
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger("batchata.events")

SUFFIX: Final = ".jsonl"
_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@dataclass(slots=True)
class Journal:
    """One file of events, open for appending, or left by a process that died."""

    path: Path
    fd: int
    size_bytes: int = 0
    damage: int = 0  #: lines that cannot be read

    @property
    def name(self) -> str:
        """A name that is unique among journals on all machines."""
        return self.path.name.removesuffix(SUFFIX)

    def append(self, line: bytes) -> None:
        """Add a line; OSError, with none of it kept, when the disk has no room for all of it."""
        written = os.write(self.fd, line)
        if written != len(line):
            os.ftruncate(self.fd, self.size_bytes)
            raise OSError(errno.ENOSPC, "no space left for the journal")
        self.size_bytes += written

    def rows(self) -> Rows:
        """Every readable event; a last line cut short by a kill is left out."""
        with self.path.open("rb") as file:
            first, *lines = file.read().split(b"\n")
        metadata = _metadata(first)
        self.damage = int(metadata is None)
        heads: list[Head] = []
        payloads: list[bytes] = []
        following: Iterator[Head] = iter(())  #: heads of the payloads that follow
        for number, line in enumerate(lines, 1):
            if line.startswith(b"[") and (read := _heads(line)) is not None:
                following = iter(read)
            elif (row := _row(line)) is not None:
                heads.append(row[0])
                payloads.append(row[1])
            elif (head := next(following, None)) is not None and _is_json(line):
                heads.append(head)
                payloads.append(line)
            elif number < len(lines):
                self.damage += 1
        return Rows(metadata or "{}", heads, payloads)

    def remove(self) -> None:
        """Remove it, as its events are in their place; a damaged one is kept under another name."""
        with contextlib.suppress(FileNotFoundError):
            if self.damage:
                aside = self.path.with_suffix(".damaged")
                log.error("%d lines of a journal cannot be read: %s", self.damage, aside)
                self.path.rename(aside)
            else:
                self.path.unlink()
        self.let_go()
        with contextlib.suppress(OSError):  # other processes are using it
            self.path.parent.rmdir()

    def let_go(self) -> None:
        """Release it for another process to adopt."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def create(folder: Path, logger_metadata: str) -> Journal:
    """A new journal, locked for this process; OSError when the folder cannot be written to."""
    while True:
        host = "".join(each if each.isalnum() else "-" for each in socket.gethostname())[:32]
        name = f"{host}-{os.getpid()}-{secrets.token_hex(6)}"
        path = folder / (name + SUFFIX)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            journal = Journal(path, os.open(path, flags, 0o600))
        except (FileExistsError, FileNotFoundError):
            if folder.exists() and not folder.is_dir():
                raise
            continue  # the folder was removed along with the last journal in it
        if _lock(journal.fd) and path.exists():  # else another process just adopted and removed it
            try:
                journal.append(orjson.dumps({"logger_metadata": logger_metadata}) + b"\n")
            except OSError:
                journal.remove()
                raise
            return journal
        journal.let_go()


def orphans(folder: Path) -> Iterator[Journal]:
    """Journals of processes that are gone, locked for this one."""
    # without locks there is no telling whether their processes are gone
    found = sorted(folder.glob(f"*{SUFFIX}")) if fcntl is not None else []
    for path in found:
        try:
            journal = Journal(path, os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
        except OSError:  # removed by its owner, or not ours to read
            continue
        if _lock(journal.fd) and path.exists():
            journal.size_bytes = path.stat().st_size
            yield journal
        else:
            journal.let_go()


def lines_of(rows: Rows) -> bytes:
    """Events as lines of a journal: one that has all but their payloads, then one for each payload.

    Half a character in a name becomes a question mark.
    """
    try:
        heads = orjson.dumps(rows.heads)
    except TypeError:
        heads = orjson.dumps([(at_us, *map(_whole, names)) for at_us, *names in rows.heads])
    return b"\n".join((heads, *rows.payloads, b""))


def _whole(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _lock(fd: int) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _LOCKED:
                return False
            raise
    return True


def _metadata(head: bytes) -> str | None:
    try:
        return str(orjson.loads(head)["logger_metadata"])
    except (ValueError, KeyError, TypeError):
        return None


def _heads(line: bytes) -> list[Head] | None:
    try:
        return [
            (at_us, run_id, custom_id, event_type, provider)
            for at_us, run_id, custom_id, event_type, provider in orjson.loads(line)
        ]
    except (ValueError, TypeError):
        return None


def _row(line: bytes) -> tuple[Head, bytes] | None:
    """A line that is a whole event, as all of them were before there were lines of heads."""
    if not line.startswith(b"["):
        return None
    try:
        at_us, run_id, custom_id, event_type, provider, payload = orjson.loads(line)
    except ValueError:
        return None
    return (at_us, run_id, custom_id, event_type, provider), orjson.dumps(payload)


def _is_json(line: bytes) -> bool:
    for read in orjson.loads, json.loads:  # the slower one takes half a character
        with contextlib.suppress(ValueError):
            read(line)
            return True
    return False
