"""Where a log is stored: a folder, or an object store that pyarrow or fsspec can reach."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import urlsplit

from batchata.core.errors import EventLogError
from batchata.disk.atomic import sync_folder
from batchata.sinks.eventlog.table import import_pyarrow

_OBJECT_STORES: Final = ("s3", "gcs", "abfs", "'gs'", "'az'")


class Place(Protocol):
    """Files below one address; every method raises EventLogError when it cannot."""

    url: str

    def put(self, path: str, data: Any) -> None:
        """Write a file whole or not at all, replacing one of that name."""

    def get(self, path: str) -> bytes:
        """Read a file."""

    def paths(self) -> Iterator[str]:
        """Parquet files below this place, in order."""

    def remove(self, path: str) -> None:
        """Remove a file, if it exists."""


class Folder:
    """A folder of this machine; files get their names once they are complete and on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = str(folder)

    def put(self, path: str, data: Any) -> None:
        """Write a file whole or not at all."""
        target = self.folder / path
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
                sync_folder(target.parent)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise _failed("written", str(target), error) from error

    def get(self, path: str) -> bytes:
        """Read a file."""
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise _failed("read", str(self.folder / path), error) from error

    def paths(self) -> Iterator[str]:
        """Parquet files below the folder, in order, without hidden ones."""
        if self.folder.is_file():
            raise EventLogError(f"{self.url} is a file, not a log", hint="name its folder")
        found = self.folder.rglob("*.parquet")
        for path in sorted(each.relative_to(self.folder) for each in found):
            if not any(part.startswith((".", "_")) for part in path.parts):
                yield path.as_posix()

    def remove(self, path: str) -> None:
        """Remove a file."""
        try:
            (self.folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise _failed("removed", str(self.folder / path), error) from error


class ObjectStore:
    """A store that pyarrow or fsspec can reach: S3, GCS, Azure, HDFS and many more."""

    def __init__(self, url: str, filesystem: Any = None) -> None:
        self.url = shown(url)
        self._fs, self._root = _filesystem(url, filesystem)
        #: objects appear whole or not at all, and no folders need to be made
        self._is_whole = any(name in self._fs.type_name for name in _OBJECT_STORES)

    def put(self, path: str, data: Any) -> None:
        """Write an object."""
        target = f"{self._root}/{path}"
        self._ask("written", path, lambda: self._write(target, data))

    def _write(self, target: str, data: Any) -> None:
        if self._is_whole:
            with self._fs.open_output_stream(target) as stream:
                stream.write(data)
            return
        folder, _, name = target.rpartition("/")
        part = f"{folder}/.{name}.{secrets.token_hex(4)}.part"
        self._fs.create_dir(folder, recursive=True)
        with self._fs.open_output_stream(part) as stream:
            stream.write(data)
        self._fs.move(part, target)

    def get(self, path: str) -> bytes:
        """Read an object."""

        def read() -> bytes:
            with self._fs.open_input_stream(f"{self._root}/{path}") as stream:
                return bytes(stream.readall())

        return bytes(self._ask("read", path, read))

    def paths(self) -> Iterator[str]:
        """Parquet objects below the address, in order."""
        selector = import_pyarrow().fs.FileSelector(
            self._root, recursive=True, allow_not_found=True
        )
        found = self._ask("listed", "", lambda: self._fs.get_file_info(selector))
        names = (each.path.removeprefix(self._root).lstrip("/") for each in found if each.is_file)
        yield from sorted(name for name in names if name.endswith(".parquet"))

    def remove(self, path: str) -> None:
        """Remove an object."""
        self._ask("removed", path, lambda: self._fs.delete_file(f"{self._root}/{path}"))

    def _ask(self, what: str, path: str, call: Any) -> Any:
        try:
            return call()
        except Exception as error:  # somebody else's filesystem may raise anything
            raise _failed(what, f"{self.url}/{path}".rstrip("/"), error) from error


def place_of(where: str | os.PathLike[str] | Place, filesystem: Any = None) -> Place:
    """The place of an address: a path, `s3://…`, `gs://…`, or another address of fsspec."""
    if isinstance(where, (Folder, ObjectStore)):
        return where
    text = os.fspath(cast(str, where))
    if not isinstance(text, str) or not text.strip():
        raise EventLogError(f"the event log is {where!r}, not a place", hint="write './logs'")
    if filesystem is None and "://" not in text:
        return Folder(Path(text))
    if filesystem is None and text.startswith("file://"):
        return Folder(Path(urlsplit(text).path))
    return ObjectStore(text, filesystem)


def shown(url: str) -> str:
    """An address without the keys that may be in it."""
    head, _, _ = url.partition("?")
    scheme, mark, rest = head.partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}".rstrip("/")


def _filesystem(url: str, filesystem: Any) -> tuple[Any, str]:
    pyarrow = import_pyarrow()
    if filesystem is not None:
        root = url.partition("://")[2] or url
        return _as_arrow(filesystem), root.rstrip("/")
    try:
        found, root = pyarrow.fs.FileSystem.from_uri(url)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, ImportError):
        return _from_fsspec(url)
    return found, root.rstrip("/")


def _from_fsspec(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise EventLogError(
            f"{shown(url)} needs fsspec, which is not installed",
            hint="pip install fsspec and the package of that store, such as gcsfs or adlfs",
        ) from error
    try:
        found, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise EventLogError(
            f"{shown(url)} cannot be opened: {error}", hint="write a folder, or s3://bucket/prefix"
        ) from error
    return _as_arrow(found), root.rstrip("/")


def _as_arrow(filesystem: Any) -> Any:
    fs = import_pyarrow().fs
    if isinstance(filesystem, fs.FileSystem):
        return filesystem
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem))


def _failed(what: str, name: str, error: Exception) -> EventLogError:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return EventLogError(f"{name} cannot be {what}: {said}")


def journal_dir_of(place: Place, given: str | os.PathLike[str] | None) -> Path:
    """Where the journals of a log are: beside its folder, or in the user's home."""
    if given is not None:
        return Path(given)
    if isinstance(place, Folder):
        folder = place.folder.absolute()
        beside = folder.with_name(f"{folder.name}.journal")  # inside, it would confuse readers
        return beside if folder.name and _may_write(folder.parent) else folder / ".journal"
    name = hashlib.sha256(place.url.encode()).hexdigest()[:16]
    return Path.home() / ".batchata" / "journals" / name


def _may_write(folder: Path) -> bool:
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK)
