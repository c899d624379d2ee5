"""The folder of the gateway's batches; every record is written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Final

import msgspec
import orjson

from batchata.core.errors import StateError
from batchata.disk.atomic import atomic_write, sync_files, sync_folder
from batchata.gateway.batches.records import BatchRecord, KeptFile
from batchata.gateway.wire.errors import not_found
from batchata.stores.lock import RunLock

_READ: Final = msgspec.json.Decoder(BatchRecord).decode


class BatchStore:
    """`files/` and `batches/` below a folder that only one gateway may hold at a time."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self.now = now
        self.files: dict[str, KeptFile] = {}
        self.batches: dict[str, BatchRecord] = {}
        self._lock = RunLock(folder / "gateway", what=f"the folder of batches {str(folder)!r}")

    def open(self) -> None:
        """Lock the folder and read what is in it.

        Raises StateLockedError when another gateway has it, StateError when it cannot be used.
        """
        try:
            for name in ("files", "batches"):
                (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire()
            for path in (self.folder / "files").glob("*.json"):
                file = KeptFile(path=path.with_suffix(".data"), **orjson.loads(path.read_bytes()))
                self.files[file.id] = file
            for path in (self.folder / "batches").glob("*/batch.json"):
                batch = _READ(path.read_bytes())
                self.batches[batch.id] = batch
        except (OSError, msgspec.DecodeError, orjson.JSONDecodeError, TypeError) as error:
            self._lock.release()
            raise StateError(
                f"the folder of batches {str(self.folder)!r} cannot be used: {error}",
                hint="name a folder that you may write to and nothing else writes to",
            ) from error
        self._drop_unfinished()
        self._drop_expired()

    def close(self) -> None:
        """Release the folder."""
        self._lock.release()

    def place(self, batch: BatchRecord) -> Path:
        """The folder of a batch."""
        return self.folder / "batches" / batch.id

    def input_of(self, batch: BatchRecord) -> Path:
        """The requests of a batch, one per line."""
        return self.place(batch) / "input.jsonl"

    def file_path(self, file_id: str) -> Path:
        """Where the bytes of a file are."""
        return self.folder / "files" / f"{file_id}.data"

    def save(self, batch: BatchRecord) -> None:
        """Record the state of a batch."""
        atomic_write(self._record(batch), msgspec.json.encode(batch))
        self.batches[batch.id] = batch

    def take(self, batch: BatchRecord, requests: Path) -> None:
        """Add a batch: first its requests under a name of their own, then its record.

        Both are synced to disk; the file that the requests came in may be deleted at any time.
        """
        place = self.place(batch)
        place.mkdir(mode=0o700)
        try:
            os.link(requests, self.input_of(batch))
        except OSError:  # a file system without links
            shutil.copyfile(requests, self.input_of(batch))
            sync_files(place, [self.input_of(batch)])
        self.save(batch)
        sync_folder(place.parent)

    def remove(self, batch: BatchRecord) -> None:
        """Remove a batch that has ended, with its results."""
        del self.batches[batch.id]
        self._record(batch).unlink()  # without it the rest does not count
        shutil.rmtree(self.place(batch), ignore_errors=True)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id in self.files:
                self.drop(self.files[file_id])

    def keep(self, file: KeptFile) -> None:
        """Add a file whose bytes are at its path; both are synced to disk."""
        self._drop_expired()
        said = {each.name: getattr(file, each.name) for each in fields(file)}
        del said["path"]
        atomic_write(file.path.with_suffix(".json"), orjson.dumps(said))
        self.files[file.id] = file

    def find_file(self, file_id: str, owner: str) -> KeptFile:
        """A client's file that has not expired, or the vendor's 404."""
        found = self.files.get(file_id)
        if found is None or found.owner != owner or self._has_expired(found):
            raise not_found(f"No such File object: {file_id}")
        return found

    def drop(self, file: KeptFile) -> None:
        """Remove a file."""
        file.path.with_suffix(".json").unlink(missing_ok=True)
        file.path.unlink(missing_ok=True)
        self.files.pop(file.id, None)

    def files_of(self, owner: str) -> list[KeptFile]:
        """A client's files, oldest first."""
        mine = [each for each in self.files.values() if each.owner == owner]
        living = [each for each in mine if not self._has_expired(each)]
        return sorted(living, key=lambda each: each.created_at)

    def batches_of(self, owner: str, vendor: str) -> list[BatchRecord]:
        """A client's batches, newest first."""
        found = self.batches.values()
        mine = [each for each in found if each.owner == owner and each.vendor == vendor]
        return sorted(mine, key=lambda each: -each.created_at)

    def _record(self, batch: BatchRecord) -> Path:
        return self.place(batch) / "batch.json"

    def _has_expired(self, file: KeptFile) -> bool:
        return file.expires_at is not None and file.expires_at <= self.now()

    def _drop_unfinished(self) -> None:
        """Remove what a dead process left of uploads and create calls that were never confirmed."""
        for path in (self.folder / "files").glob("*.data"):
            if path.stem not in self.files:
                path.unlink()
        for place in (self.folder / "batches").glob("*batch_*"):
            if place.is_dir() and place.name not in self.batches:
                shutil.rmtree(place)

    def _drop_expired(self) -> None:
        for file in [each for each in self.files.values() if self._has_expired(each)]:
            self.drop(file)
