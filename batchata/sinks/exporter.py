"""Keeps the results folder in step with the state file, even across a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from batchata.core.assemble import Bind
from batchata.core.config import ResultFormat
from batchata.core.errors import BatchataError
from batchata.core.events import Event, OutcomesRecorded
from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.core.status import CODES, JobStatus
from batchata.ports import Store
from batchata.sinks.outcomes import results_of
from batchata.sinks.parquet import ParquetParts, last_part
from batchata.sinks.results import JsonFolder, JsonLines, make_folder

log = logging.getLogger("batchata.results")

#: (outcome number, most) → (number read up to, final results after it)
ReadAfter = Callable[[int, int], tuple[int, list[JobResult]]]


class Exporter:
    """Writes final results as they are committed; the state file records how far it got.

    A folder that cannot be written to does not stop the run: answers are safe in the state file,
    `error` says what happened, and the next run writes what is missing.
    """

    def __init__(
        self,
        folder: Path,
        result_format: ResultFormat,
        store: Store,
        state: RunState,
        bind: Bind,
        *,
        place: str,
    ) -> None:
        self._place = place  #: the folder as recorded in the state file
        self._store = store
        self._state = state
        self._bind = bind
        self.error: BatchataError | None = None
        self._is_whole = True  #: no result that should be there is missing
        make_folder(folder)
        self._sink = self._open(folder, result_format)

    def _open(
        self, folder: Path, result_format: ResultFormat
    ) -> JsonFolder | JsonLines | ParquetParts:
        meta = self._store.meta
        if meta("results_format") != result_format or not self._is_there(folder):
            self._begin(folder, result_format)
        mark = int(meta("results_mark") or 0)
        if result_format == "json":
            return JsonFolder(folder)
        if result_format == "parquet":
            return ParquetParts(folder, mark)
        path = folder / str(meta("results_file"))
        size = path.stat().st_size if path.exists() else 0
        if size < mark:  # it was compacted just before the process died
            self._store.set_meta(results_mark=size)
        return JsonLines(path, min(mark, size))

    def _begin(self, folder: Path, result_format: ResultFormat) -> None:
        """Start writing all results, in a format or a folder that has none of them yet."""
        is_lines = result_format == "jsonl"
        self._store.set_meta(
            results_format=result_format,
            results_folder=self._place,
            results_file=free_name(folder, "results", ".jsonl") if is_lines else None,
            results_mark=last_part(folder) if result_format == "parquet" else 0,
            exported=0,
        )

    def _is_there(self, folder: Path) -> bool:
        """True unless the earlier results are in another folder, or their file was removed."""
        meta = self._store.meta
        if meta("results_folder") != self._place:
            return False
        name = meta("results_file")
        return name is None or not meta("exported") or (folder / str(name)).exists()

    @property
    def is_behind(self) -> bool:
        """True when an earlier run committed results but did not export them."""
        return int(self._store.meta("exported") or 0) < self._store.last_number

    def catch_up(self, read_after: ReadAfter) -> None:
        """Write what an earlier run committed but did not export."""
        done = int(self._store.meta("exported") or 0)
        last = self._store.last_number
        self.expect_repeats()
        known = self._sink.known
        while done < last:
            done, found = read_after(done, 1000)
            self._sink.write([each for each in found if each.job_id not in known])
        self._checkpoint()

    def expect_repeats(self) -> None:
        """Jobs with a result are asked again: in the end only their last result is kept."""
        self._store.set_meta(results_repeat=1)

    def emit(self, event: Event) -> None:
        """Write the final results of newly recorded outcomes."""
        if self.error is not None or not isinstance(event, OutcomesRecorded):
            return
        is_whole, self._is_whole = self._is_whole, False  # in case writing fails halfway
        try:
            self._sink.write(self._results(event))
            self._is_whole = is_whole
            if event.closes is not None:
                self._sink.show()
            if self._sink.is_due:
                self._checkpoint()
        except BatchataError as error:
            self.error = error
            log.error("%s", error)

    def close(self) -> None:
        """Flush, and record in the state file that all results are out."""
        if self.error is not None:
            with suppress(BatchataError):  # it was reported already
                self._sink.close()
            return
        try:
            self._checkpoint()
            if self._store.meta("results_repeat"):
                self._sink.compact()
                more = None if self._has_ended() else 1
                self._store.set_meta(results_mark=self._sink.mark, results_repeat=more)
            self._sink.close()
        except BatchataError as error:
            self.error = error

    def _has_ended(self) -> bool:
        """True when every job has its last result, and none that was asked again is still open."""
        status = self._state.status
        return not any(CODES[each] in status for each in JobStatus if not each.is_final)

    def _checkpoint(self) -> None:
        self._sink.flush()
        done = {"exported": self._store.last_number} if self._is_whole else {}
        self._store.set_meta(results_mark=self._sink.mark, **done)

    def _results(self, event: OutcomesRecorded) -> Sequence[JobResult]:
        final = [outcome for outcome in event.outcomes if outcome.status.is_final]
        paid_before = self._state.paid_before
        return list(results_of(final, self._store, self._state, self._bind, paid_before))


def free_name(folder: Path, stem: str, suffix: str) -> str:
    """`stem + suffix`, or with -2, -3, … where that is taken: nothing is overwritten."""
    name, number = f"{stem}{suffix}", 1
    while (folder / name).exists():
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name
