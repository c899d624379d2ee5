"""Every place where a run touches the world, found by wrapping what it touches it with."""

from __future__ import annotations

import errno
import os
import re
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx2

from batchata.providers import transport
from batchata.stores.sqlite import SQLiteStore

_NAMES = re.compile(
    r"(?:batch_|msgbatch_|resp_|file[-_])sandbox[-_][0-9a-f]+|b[0-9a-f]{15}(?![0-9a-f])"
)
_JOBS = re.compile(r"job-[0-9a-f]{32}|\bq\d+\b")
_CREATE = re.compile(r"http: (before|after) POST \S+/(?:batches|completions|responses|messages)$")
_SMALL = 700  #: bytes of a download that come at once, so that there are several pieces


class Points:
    """Counts touches by label; at the one that was chosen the process is no more."""

    def __init__(
        self,
        root: Path,
        kill: tuple[str, int] | None = None,
        disk_full_after: int | None = None,
    ) -> None:
        self.root = str(root)
        self.kill = kill
        self._room = disk_full_after  #: writes that still find room, None: all
        self.is_read_only = False  #: not full: the disk became read-only
        self.kill_at: int | None = None  #: touch at which to die, whatever it is
        self.log: list[tuple[str, int]] = []
        self._seen: Counter[str] = Counter()
        #: set when the first call that costs money leaves, and when it has its answer
        self.creates = {"before": threading.Event(), "after": threading.Event()}

    def touch(self, label: str, torn: Callable[[], None] | None = None) -> None:
        """Pass a point, or die at it; `torn` does half of what comes next before that."""
        self._seen[label] += 1
        here = (label, self._seen[label])
        if create := _CREATE.match(label):
            self.creates[create[1]].set()
        self.log.append(here)
        if here == self.kill or len(self.log) == self.kill_at:
            if torn is not None:
                torn()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)

    def has_room(self) -> bool:
        """False once the disk is full, as far as this process can tell."""
        if self._room is None:
            return True
        self._room -= 1
        return self._room >= 0

    def disk_error(self) -> OSError:
        """What a file says once there is no room."""
        code = errno.EROFS if self.is_read_only else errno.ENOSPC
        return OSError(code, os.strerror(code))

    def database_error(self) -> sqlite3.Error:
        """What a database says once there is no room."""
        said = "database or disk is full"
        error = sqlite3.OperationalError(
            "attempt to write a readonly database" if self.is_read_only else said
        )
        error.sqlite_errorcode = (
            sqlite3.SQLITE_READONLY if self.is_read_only else sqlite3.SQLITE_FULL
        )
        return error

    def check_changes(self) -> None:
        """Names in folders cannot be changed either once the disk is read-only."""
        if self.is_read_only and not self.has_room():
            raise self.disk_error()

    def owns(self, path: object) -> bool:
        """True for files of this case."""
        return str(path).startswith(self.root)


def clean(text: str) -> str:
    """The text without ids that differ from run to run."""
    return _JOBS.sub("<job>", _NAMES.sub("*", text))


def instrument(points: Points) -> None:
    """Wrap commits, requests and file operations of this process."""
    _commits(points)
    _requests(points)
    _downloads(points)
    _files(points)


class _Db:
    """A connection whose transactions are points."""

    def __init__(self, db: Any, points: Points) -> None:
        self._db = db
        self._points = points
        self._what = "nothing"

    def execute(self, sql: str, *args: Any) -> Any:
        word = sql.split()[0]
        if word == "BEGIN":
            self._what = "nothing"
        elif word not in ("COMMIT", "PRAGMA"):
            return self._db.execute(sql, *args)
        label = f"{self._what} commit" if word == "COMMIT" else sql.split("(")[0].lower()
        if word != "BEGIN":
            self._points.touch(f"state: before {label}")
        if word == "COMMIT" and not self._points.has_room():
            raise self._points.database_error()
        result = self._db.execute(sql, *args)
        if word != "BEGIN":
            self._points.touch(f"state: after {label}")
        return result

    def executemany(self, sql: str, rows: Any) -> Any:
        found = re.search(r"(?:INTO|UPDATE) (\w+)", sql)
        if self._what == "nothing" and found:
            self._what = found[1]
        return self._db.executemany(sql, rows)

    def close(self) -> None:
        self._points.touch("state: before close")
        self._db.close()
        self._points.touch("state: after close")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def _commits(points: Points) -> None:
    connect = SQLiteStore._connect

    def watched(self: SQLiteStore) -> Any:
        db = connect(self)
        return db if self.is_read_only else _Db(db, points)

    SQLiteStore._connect = watched  # type: ignore[method-assign]


def _requests(points: Points) -> None:
    handle = httpx2.AsyncHTTPTransport.handle_async_request

    async def watched(self: Any, request: Any) -> Any:
        label = clean(f"{request.method} {request.url.path}")
        request.stream = _Body(request.stream, points, label)
        points.touch(f"http: before {label}")
        response = await handle(self, request)
        points.touch(f"http: after {label}")
        return response

    httpx2.AsyncHTTPTransport.handle_async_request = watched

    ask = aiohttp.ClientSession._request

    async def fetched(self: Any, method: str, url: Any, **options: Any) -> Any:
        label = clean(f"{method} {httpx2.URL(str(url)).path}")
        points.touch(f"http: before {label}")
        response = await ask(self, method, url, **options)
        points.touch(f"http: after {label}")
        return response

    aiohttp.ClientSession._request = fetched  # type: ignore[method-assign]


class _Body(httpx2.AsyncByteStream):
    """A request body whose pieces are points."""

    def __init__(self, inner: Any, points: Points, label: str) -> None:
        self._inner, self._points, self._label = inner, points, label

    async def __aiter__(self) -> AsyncIterator[bytes]:
        number = 0
        async for piece in self._inner:
            number += 1
            if number > 1:
                self._points.touch(f"http: within {self._label}")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


def _downloads(points: Points) -> None:
    transport._PIECE = _SMALL
    chunked = aiohttp.StreamReader.iter_chunked

    async def pieces(self: Any, size: int) -> AsyncIterator[bytes]:
        async for piece in chunked(self, size):
            points.touch("http: within download")
            yield piece

    aiohttp.StreamReader.iter_chunked = pieces  # type: ignore[assignment,method-assign]


class _File:
    """An open file whose writes are points."""

    def __init__(self, file: Any, points: Points, label: str) -> None:
        self._file, self._points, self._label = file, points, label

    def write(self, data: Any) -> int:
        def half() -> None:
            self._file.write(bytes(data)[: len(data) // 2])
            self._file.flush()

        self._points.touch(f"file: before write {self._label}")
        self._points.touch(f"file: within write {self._label}", half)
        if not self._points.has_room():
            raise self._points.disk_error()
        written: int = self._file.write(data)
        self._points.touch(f"file: after write {self._label}")
        return written

    def __enter__(self) -> _File:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._file.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _files(points: Points) -> None:
    opened = Path.open

    def watched(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = opened(self, mode, *args, **options)
        if points.owns(self) and set(mode) & set("wax"):
            return _File(file, points, clean(self.name))
        return file

    Path.open = watched  # type: ignore[method-assign,assignment]
    for name in ("replace", "rename", "unlink", "rmdir"):
        _wrap_path(points, name)
    for name in ("fsync", "truncate", "ftruncate"):
        _wrap_os(points, name)


def _wrap_path(points: Points, name: str) -> None:
    done = getattr(Path, name)

    def watched(self: Path, *args: Any, **options: Any) -> Any:
        if not points.owns(self):
            return done(self, *args, **options)
        label = f"{name} {clean(self.name)}"
        points.touch(f"file: before {label}")
        points.check_changes()
        result = done(self, *args, **options)
        points.touch(f"file: after {label}")
        return result

    setattr(Path, name, watched)


def _wrap_os(points: Points, name: str) -> None:
    done = getattr(os, name)

    def watched(*args: Any) -> Any:
        points.touch(f"file: before {name}")
        result = done(*args)
        points.touch(f"file: after {name}")
        return result

    setattr(os, name, watched)
