"""Keeps the results folder in step with the state file, also across a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from batchata.core.assemble import Bind, job_result
from batchata.core.config import ResultFormat
from batchata.core.errors import BatchataError
from batchata.core.events import Event, OutcomesRecorded
from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.ports import Store
from batchata.sinks.results import JsonFolder, JsonLines, ParquetParts, make_folder, make_sink

log = logging.getLogger("batchata.results")

#: (outcome number, most) → (number read up to, final results after it)
ReadAfter = Callable[[int, int], tuple[int, list[JobResult]]]


class Exporter:
    """Writes final results as they are committed; the state file remembers how far it came.

    A folder that cannot be written to does not stop the run: answers are safe in the state file,
    `error` says what happened, and the next run writes what is missing.
    """

    def __init__(
        self, folder: Path, result_format: ResultFormat, store: Store, state: RunState, bind: Bind
    ) -> None:
        self._store = store
        self._state = state
        self._bind = bind
        self.error: BatchataError | None = None
        make_folder(folder)
        self._sink = self._open(folder, result_format)

    def _open(
        self, folder: Path, result_format: ResultFormat
    ) -> JsonFolder | JsonLines | ParquetParts:
        name = self._store.meta("results_file")
        if name is None:
            name = free_name(folder, "results", ".jsonl")
            if result_format == "jsonl":
                self._store.set_meta("results_file", name)
        offset = int(self._store.meta("results_bytes") or 0)
        return make_sink(result_format, folder, str(name), offset)

    def catch_up(self, read_after: ReadAfter) -> None:
        """Write what an earlier run committed and did not export."""
        done = int(self._store.meta("exported") or 0)
        last = self._store.last_number
        if done >= last:
            return
        known = self._sink.known
        while done < last:
            done, found = read_after(done, 1000)
            self._sink.write([each for each in found if each.job_id not in known])
        self._checkpoint()

    def emit(self, event: Event) -> None:
        """Write the final results of newly recorded outcomes."""
        if self.error is not None or not isinstance(event, OutcomesRecorded):
            return
        try:
            self._sink.write(self._results(event))
            if event.closes is not None:
                self._checkpoint()
        except BatchataError as error:
            self.error = error
            log.error("%s", error)

    def close(self) -> None:
        """Flush; the state file then knows that all results are out."""
        if self.error is not None:
            return
        try:
            self._checkpoint()
            self._sink.close()
        except BatchataError as error:
            self.error = error

    def _checkpoint(self) -> None:
        self._sink.flush()
        self._store.set_meta("results_bytes", self._sink.offset)
        self._store.set_meta("exported", self._store.last_number)

    def _results(self, event: OutcomesRecorded) -> Sequence[JobResult]:
        final = [outcome for outcome in event.outcomes if outcome.status.is_final]
        seqs = [outcome.seq for outcome in final]
        ids, metadata = self._store.ids(seqs), self._store.metadata(seqs)
        state = self._state
        results = []
        for outcome, job_id in zip(final, ids, strict=True):
            number = state.shape_of[outcome.seq]
            submission: Any = state.submissions.get(outcome.token) if outcome.token else None
            results.append(
                job_result(
                    outcome,
                    job_id,
                    number,
                    state.shapes[number],
                    submission,
                    metadata[outcome.seq],
                    self._bind,
                    state.paid_before(outcome),
                )
            )
        return results


def free_name(folder: Path, stem: str, suffix: str) -> str:
    """`stem + suffix`, or with -2, -3, … where that is taken: nothing is overwritten."""
    name, number = f"{stem}{suffix}", 1
    while (folder / name).exists():
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name
