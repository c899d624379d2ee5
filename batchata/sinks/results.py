"""Final results as files: one JSON file per job, or one JSONL file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from batchata.core.errors import ResultsError
from batchata.core.job import digest
from batchata.core.json_bytes import json_bytes
from batchata.core.result import JobResult, row_of
from batchata.disk.atomic import atomic_file, atomic_write, numbered_name, sync_files

#: results between two syncs to disk
_CHECKPOINT = 5_000
#: bytes of lines written at a time
_MOST_WAITING = 1024 * 1024
#: file systems allow 255, and the ending is still to be added
_MOST_NAME_BYTES = 200
#: keys that a JSONL line has even when they are null
_ALWAYS = frozenset({"raw_response", "parsed_response", "error"})
_OFTEN_ZERO = frozenset({"cache_read_tokens", "cache_write_tokens", "reasoning_tokens"})


class JsonFolder:
    """`{job_id}.json` for each job, written whole or not at all."""

    mark = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsynced: list[Path] = []
        self.known: set[str] = set()  #: files that exist already are checked one by one

    @property
    def is_due(self) -> bool:
        """True when enough was written to bring it to disk."""
        return len(self._unsynced) >= _CHECKPOINT

    def write(self, results: Sequence[JobResult]) -> None:
        """Write each result's file; another run's file of that name is moved aside."""
        for result in results:
            path = self._folder / f"{file_name(result.job_id)}.json"
            data = json_bytes(row_of(result), orjson.OPT_INDENT_2)
            with disk_errors(path):
                if path.exists() and not _is_earlier_word(path, result):
                    move_aside(path)
                atomic_write(path, data, durable=False)
            self._unsynced.append(path)

    def show(self) -> None:
        """Files can be read as soon as they are written."""

    def flush(self) -> None:
        """Sync all files to disk."""
        with disk_errors(self._folder):
            sync_files(self._folder, self._unsynced)
        self._unsynced.clear()

    def compact(self) -> None:
        """Do nothing: a job's new file already replaced the old one."""

    def close(self) -> None:
        """Do nothing: no file is held open."""


class JsonLines:
    """Appends a line per job to `results.jsonl`; a torn last line is cut off first."""

    def __init__(self, path: Path, mark: int = 0) -> None:
        self._path = path
        self._lines = 0
        with disk_errors(path):
            #: ids of lines beyond what the state file knows of
            self.known = _known_ids(path, mark)
            self._file = path.open("ab", buffering=0)
        self._waiting = bytearray()

    @property
    def mark(self) -> int:
        """Size of the file in bytes, including what is waiting to be written."""
        return self._file.tell() + len(self._waiting)

    @property
    def is_due(self) -> bool:
        """True when enough was written to bring it to disk."""
        return self._lines >= _CHECKPOINT

    def write(self, results: Sequence[JobResult]) -> None:
        """Append a line for each result."""
        with disk_errors(self._path):
            for result in results:
                self._waiting += json_bytes(_said(result), orjson.OPT_APPEND_NEWLINE)
                if len(self._waiting) >= _MOST_WAITING:
                    self._put()
        self._lines += len(results)

    def show(self) -> None:
        """Make what was written readable for others."""
        with disk_errors(self._path):
            self._put()

    def _put(self) -> None:
        """Write what is waiting; if the disk refuses, none of it is: the next run begins there."""
        waiting, self._waiting = memoryview(self._waiting), bytearray()
        size = self._file.tell()
        try:
            while waiting:
                waiting = waiting[self._file.write(waiting) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(size)
            raise

    def flush(self) -> None:
        """Sync all lines to disk."""
        with disk_errors(self._path):
            self._put()
            os.fsync(self._file.fileno())
        self._lines = 0

    def compact(self) -> None:
        """Keep only the last line of each job."""
        self.flush()
        with disk_errors(self._path):
            last: dict[str, int] = {}
            lines = 0
            with self._path.open("rb") as file:
                for line in file:
                    last[_job_id(line) or f"line {lines}"] = lines
                    lines += 1
            if len(last) == lines:
                return
            with atomic_file(self._path) as part:
                self._copy(part, frozenset(last.values()))
                self._file.close()
            self._file = self._path.open("ab", buffering=0)

    def _copy(self, part: Path, kept: frozenset[int]) -> None:
        with self._path.open("rb") as file, part.open("wb", buffering=1024 * 1024) as new:
            new.writelines(line for number, line in enumerate(file) if number in kept)

    def close(self) -> None:
        """Close the file."""
        with disk_errors(self._path):
            self._put()
            self._file.close()


def make_folder(folder: Path) -> None:
    """Make the results folder; ResultsError when it cannot be written to."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".batchata-write-test"
        probe.write_bytes(b"")
        probe.unlink()


def file_name(job_id: str) -> str:
    """A file name for a job id: the id itself where that is safe."""
    name = job_id.encode("utf-8", "surrogatepass")
    is_plain = all(c.isalnum() or c in "-_." for c in job_id) and job_id[0] != "."
    if is_plain and len(name) <= _MOST_NAME_BYTES:
        return job_id
    return "h" + digest(name).hex()


def move_aside(path: Path) -> Path:
    """Rename a file in the way to the next free `name.N`; nothing is overwritten."""
    aside = numbered_name(path)
    path.rename(aside)
    return aside


def _said(result: JobResult) -> dict[str, Any]:
    """The result without empty fields, which saves a sixth of a million lines."""
    return {
        name: value
        for name, value in row_of(result).items()
        if value or name in _ALWAYS or not (value is None or name in _OFTEN_ZERO)
    }


def _known_ids(path: Path, mark: int) -> set[str]:
    """Ids of whole lines from `mark` on; a torn last line, ours, is cut off."""
    if not path.exists() or path.stat().st_size <= mark:
        return set()
    known: set[str] = set()
    whole = mark
    with path.open("rb") as file:
        file.seek(mark)
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if job_id := _job_id(line):
                known.add(job_id)
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return known


def _job_id(line: bytes) -> str | None:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return said.get("job_id") if isinstance(said, dict) else None


def _is_earlier_word(path: Path, result: JobResult) -> bool:
    """True for a file with this ending of the job, or one from before it was asked again."""
    data = path.read_bytes()
    if not data:  # a power cut came before its bytes were on disk
        return True
    try:
        old = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(old, dict) or old.get("job_id") != result.job_id:
        return False
    if old.get("status") in ("failed", "cancelled", "skipped"):
        return True
    finished = result.finished_at.isoformat() if result.finished_at else None
    return bool(old.get("finished_at") == finished)


_KEPT = ", and run again: answers are kept in the state file"
_FULL = "free some space"
_CLOSED = "choose a folder you may write to"
_NO_FOLDER = "that is a file, or has a file in its path: name a folder"
_HINTS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EIO: "check the disk",
    errno.EMFILE: "close some files (`ulimit -n` is the limit)",
}


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into a ResultsError that says what to do."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"results cannot be written to {str(path)!r}: {error.strerror or error}",
            hint=_HINTS.get(error.errno or 0, _CLOSED) + _KEPT,
        ) from error
