"""The answers of a run into the cache: as they come, and whatever is left when it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from batchata.core.errors import StateError
from batchata.core.result import PAID_FAILURES, JobResult, Reason
from batchata.core.status import JobStatus
from batchata.frames.asking import Asking
from batchata.frames.cache import Entry, SqliteCache
from batchata.frames.packs import Row, RowAnswer, unpack_result, with_raw
from batchata.providers.encoding import json_text
from batchata.results import Tail
from batchata.run import BatchRun
from batchata.stores.reader import bind_nothing

_KEPT_AT_ONCE: Final = 500


class Harvest:
    """One run's answers; `answers` and `failures` are by the rows' numbers, and are added to."""

    def __init__(
        self,
        asking: Asking,
        cache: SqliteCache,
        asked: Sequence[Sequence[Row]],
        *,
        prefix: str,
        answers: dict[int, str],
        failures: dict[int, RowAnswer],
    ) -> None:
        self._asking = asking
        self._cache = cache
        self._asked = asked  #: the rows of each job, which is named by `prefix` and its number
        self._prefix = prefix
        self._answers = answers
        self._failures = failures
        self._tail: Tail | None = None
        self._is_broken = False  #: what came was not taken to the end: all is read once more
        self._forget()

    def _forget(self) -> None:
        self._again: list[Row] = []
        self._refused: list[Row] = []  #: of packs that the vendor refused
        self._is_any_answered = False
        self._entries: list[tuple[int, Entry]] = []  #: not in the cache yet

    def take_new(self, run_file: Path) -> None:
        """Take what was answered since the last time, while the run goes on.

        What fails here is tried once more, and told, at the end.
        """
        if self._is_broken:
            return
        self._is_broken = True  # until this pass is over, which may be interrupted
        with contextlib.suppress(StateError):
            if self._tail is None:
                self._tail = Tail(run_file, bind_nothing)
            while found := self._tail.more():
                self._take_all(found)
            self._is_broken = False

    def finish(self, run: BatchRun, run_file: Path) -> list[Row]:
        """Take the rest of a run that has ended; the rows that are to be asked again, alone."""
        try:
            if self._tail is not None and run.is_complete:
                self.take_new(run_file)
            if self._tail is None or self._is_broken or not run.is_complete:
                self._forget()
                self._take_all(run.results().iter_all())
        finally:
            if self._tail is not None:
                self._tail.close()
        # where any was answered, one of a pack's rows is at fault, and not the whole request
        return self._again + (self._refused if self._is_any_answered else [])

    def _take_all(self, results: Iterable[JobResult]) -> None:
        for result in results:
            if result.job_id.startswith(self._prefix):  # the file may hold an earlier round
                self._take(self._asked[int(result.job_id[1:])], result)
            if len(self._entries) >= _KEPT_AT_ONCE:
                self._keep()
        self._keep()

    def _take(self, rows: Sequence[Row], result: JobResult) -> None:
        if result.reason is Reason.INVALID_REQUEST and len(rows) > 1:
            self._refused.extend(rows)
        if result.status is not JobStatus.SUCCEEDED and result.reason not in PAID_FAILURES:
            ended = RowAnswer(result.status.value, None, result.error)
            self._failures.update({row.number: ended for row in rows})
            return
        self._is_any_answered = True
        unpacked = unpack_result(rows, result, self._asking.problem)
        prompt_hash = self._asking.prompt_hash
        for row, fields in unpacked.good:
            if row.number not in self._answers:
                entry = Entry(row.id, prompt_hash, row.key, json_text(fields))
                self._entries.append((row.number, entry))
        for row, why in unpacked.bad:
            self._again.append(row)
            error = with_raw(why, result)
            self._failures[row.number] = RowAnswer(JobStatus.FAILED.value, None, error)

    def _keep(self) -> None:
        """The cache first: what is counted as answered is never asked again."""
        self._cache.put_many([entry for _, entry in self._entries])
        self._answers.update((number, entry.json_result) for number, entry in self._entries)
        self._entries = []
