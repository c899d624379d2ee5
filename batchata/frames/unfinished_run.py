"""Saves a killed run's answers from its file to the cache before anything is asked."""

from __future__ import annotations

import logging
from pathlib import Path

from batchata.batch import Batch
from batchata.core.result import JobResult
from batchata.frames.asking import Asking
from batchata.frames.cache import Entry, SqliteCache
from batchata.frames.packs import Row, unpack_result
from batchata.providers.encoding import json_text
from batchata.run import BatchRun
from batchata.stores.reader import ResultReader
from batchata.stores.schema import submission_of
from batchata.stores.sqlite import SQLiteStore

log = logging.getLogger("batchata")


def settle(
    run_file: Path, batch: Batch, cache: SqliteCache, asking: Asking, *, print_status: bool
) -> None:
    """Take over the answers an earlier process got, and collect what it left at a vendor.

    That process may have asked something other than `asking`; `batch` reaches its vendor.
    """
    SQLiteStore(run_file).close()  # completes a file whose process was killed while making it
    if is_waited_for(run_file):
        run = BatchRun.attach(run_file, config=batch.config, providers=batch.providers)
        run.execute(print_status=print_status)
    reader = ResultReader(run_file)
    entries: list[Entry] = []
    try:
        for result in reader.read(reader.seqs()):
            if result.is_success and not result.is_truncated:
                entries.extend(_entries(result, asking))
    finally:
        reader.close()
    known = set(cache.find(entry.row_id for entry in entries))  # it may have stored some itself
    new = [entry for entry in entries if entry not in known]
    cache.put_many(new)
    log.info("%d answers of an interrupted run were put into the cache", len(new))
    remove(run_file)


def is_waited_for(run_file: Path) -> bool:
    """True when a batch of the run is still at a vendor."""
    store = SQLiteStore(run_file, read_only=True)
    try:
        found = map(submission_of, store.table.submission_rows())
        return any(each.route == "batch" and each.status.is_open for each in found)
    finally:
        store.close()


def remove(run_file: Path) -> None:
    """Remove the file of a run whose answers are in the cache, unless a batch is waited for."""
    if run_file.exists() and not is_waited_for(run_file):
        for suffix in ("", "-wal", "-shm"):
            run_file.with_name(run_file.name + suffix).unlink(missing_ok=True)


def _entries(result: JobResult, asking: Asking) -> list[Entry]:
    """Answers of a job that records which rows it asked about."""
    metadata = result.metadata or {}
    rows = [
        Row(number, row_id, "", bytes.fromhex(key))
        for number, (row_id, key) in enumerate(metadata.get("rows", ()))
    ]
    is_same = metadata.get("asking") == asking.base.hex()
    # for another question, the engine has checked the whole answer against its schema
    found = unpack_result(rows, result, asking.problem if is_same else lambda row: None)
    return [
        Entry(row.id, metadata["prompt_hash"], row.key, json_text(fields))
        for row, fields in found.good
    ]
