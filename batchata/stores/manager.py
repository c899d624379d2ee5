"""The state file for people and tests: read it, write one, move it aside."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from batchata.core.errors import StateError
from batchata.core.events import Durable
from batchata.disk.atomic import numbered_name, sync_folder
from batchata.stores.files import check_file, fold_log
from batchata.stores.legacy import read_legacy
from batchata.stores.lock import RunLock
from batchata.stores.reading import CREATED, read_state
from batchata.stores.snapshot import BatchState
from batchata.stores.sqlite import SQLiteStore
from batchata.stores.writing import events_of, microseconds

log = logging.getLogger("batchata")

__all__ = ["BatchState", "StateManager"]


class StateManager:
    """The state file that `.set_state(file)` names, seen from outside of a run.

    Raises StateError when the file cannot be used, StateLockedError while a run writes to it.
    """

    def __init__(self, state_file: str | Path) -> None:
        self.state_file = Path(state_file)

    def load(self) -> BatchState | None:
        """What the file holds now, None when there is no file; a run may go on meanwhile."""
        path = self.state_file
        if not path.exists() or (path.is_file() and not path.stat().st_size):
            return None
        return read_state(path)

    def save(self, state: BatchState) -> None:
        """Write the whole state, so that a run with this file goes on from it.

        A file with answers or batches that `state` does not have is moved aside first, and
        nothing is changed when anything fails.
        """
        path = self.state_file
        events = list(events_of(state))
        path.parent.mkdir(parents=True, exist_ok=True)
        check_file(path)
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        with _alone(path):
            try:
                self._write(part, state, events)
                if path.exists() and _loses(path, state):
                    _keep(path)
                part.replace(path)
                sync_folder(path.parent)
            except OSError as error:
                raise StateError(
                    f"the state file {str(path)!r} cannot be written: {error.strerror}",
                    hint="free some space or choose another folder; nothing was changed",
                ) from error
            finally:
                for suffix in ("", "-wal", "-shm"):
                    part.with_name(part.name + suffix).unlink(missing_ok=True)

    def clear(self) -> Path | None:
        """Move the file aside, so that the next run starts afresh, and return where it is now.

        Nothing is deleted: the file may hold answers that were paid for.
        """
        path = self.state_file
        if not path.exists():
            return None
        check_file(path)
        with _alone(path):
            aside = numbered_name(path)
            path.rename(aside)
            log.info("the state file was kept as %s", aside)
            return aside

    @staticmethod
    def import_legacy(path: str | Path) -> BatchState:
        """The state in a JSON file of earlier releases; StateError for any other file.

        Its pending jobs have a `question`: `batch.add_jobs(job["question"] for job in
        state.pending_jobs)` runs them under their old ids.
        """
        return read_legacy(Path(path))

    @staticmethod
    def _write(part: Path, state: BatchState, events: list[Durable]) -> None:
        store = SQLiteStore(part)
        try:
            store.set_meta(**{CREATED: microseconds(state.created_at)})
            for event in events:
                store.commit(event)
        finally:
            store.close()
        fold_log(part)  # a log that could not be folded would stay behind
        with part.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file while no run has it and no log lies beside it, to replace or rename it."""
    lock = RunLock(path)
    lock.acquire()
    try:
        if path.exists():
            fold_log(path)
        yield
    finally:
        lock.release()


def _loses(path: Path, state: BatchState) -> bool:
    """True when the file knows answers or batches that `state` does not."""
    if not path.stat().st_size:
        return False
    old = read_state(path)
    known = {(each.job_id, each.attempts) for each in (*state.earlier, *state.results)}
    tokens = {each["token"] for each in (*state.submissions, *state.uploads)}
    return any(
        (each.job_id, each.attempts) not in known for each in (*old.earlier, *old.results)
    ) or any(each["token"] not in tokens for each in (*old.submissions, *old.uploads))


def _keep(path: Path) -> None:
    """Give the file a second name, so that its own name is never without a file."""
    aside = numbered_name(path)
    try:
        aside.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copy2(path, aside)
    log.info("the earlier state file was kept as %s", aside)
