"""Puts a run's answers into the cache as they come, and the rest when the run has ended."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from batchata.core.errors import StateError
from batchata.core.events import Event, JobsAdded, OutcomesRecorded
from batchata.core.parse import value_of
from batchata.core.result import PAID_FAILURES, JobResult, Reason
from batchata.core.status import JobStatus
from batchata.core.submission import JobRow, Outcome
from batchata.frames.asking import Asking
from batchata.frames.cache import Entry, SqliteCache
from batchata.frames.packs import Row, RowAnswer, unpack_result, with_raw
from batchata.providers.encoding import json_text
from batchata.run import BatchRun

_KEPT_AT_ONCE: Final = 500


class CacheWriter:
    """One run's answers; adds to `answers` and `failures`, which are by row number."""

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
        self._asked = asked  #: the rows of each job; its id is `prefix` and its number
        self._prefix = prefix
        self._answers = answers
        self._failures = failures
        self._seqs = range(0)  #: of the jobs in the run's file
        self._heard: deque[Outcome] = deque()  #: not processed yet; filled by the run's thread
        self._is_broken = False  #: processing was cut short: everything is read once more
        self._forget()

    def _forget(self) -> None:
        self._taken = 0  #: jobs
        self._again: list[Row] = []
        self._refused: list[Row] = []  #: of packs the vendor refused
        self._is_any_answered = False
        self._entries: list[tuple[int, Entry]] = []  #: not in the cache yet

    def hear(self, event: Event) -> None:
        """Receive an event of the run, in the run's thread."""
        if isinstance(event, OutcomesRecorded):
            self._heard.extend(each for each in event.outcomes if each.status.is_final)
        elif isinstance(event, JobsAdded):
            for row in event.rows:
                self._meet(row)

    def _meet(self, row: JobRow) -> None:
        """Extend the jobs by the next one; if the file has some already, all is read at the end."""
        seqs = self._seqs or range(row.seq, row.seq)
        if row.seq != seqs.stop or row.id != f"{self._prefix}{len(seqs)}":
            self._is_broken = True
        self._seqs = range(seqs.start, row.seq + 1)

    def take_new(self) -> None:
        """Process what was answered since the last call, while the run goes on.

        What fails here is tried again, and reported, at the end.
        """
        if self._is_broken:
            return
        self._is_broken = True  # until this pass is over, which may be interrupted
        with contextlib.suppress(StateError, ValueError):  # of the cache; of a job met before
            self._take_all(self._new())
            self._is_broken = False

    def _new(self) -> Iterator[JobResult]:
        """What was received but not processed yet, reduced to what rows are made from."""
        while self._heard:
            outcome = self._heard.popleft()
            yield JobResult(
                f"{self._prefix}{self._seqs.index(outcome.seq)}",
                raw_response=outcome.text,
                parsed_response=value_of(outcome.parsed) if outcome.parsed else None,
                error=outcome.error,
                status=outcome.status,
                reason=outcome.reason,
                finish_reason=outcome.finish_reason,
            )

    def finish(self, run: BatchRun) -> list[Row]:
        """Process the rest of a run that has ended; returns the rows to ask again, each alone."""
        if run.is_complete:
            self.take_new()
        if self._is_broken or not run.is_complete or self._taken != len(self._asked):
            self._forget()
            self._take_all(run.results().iter_all())
        # if any was answered, one row of a refused pack is at fault, not the request as such
        return self._again + (self._refused if self._is_any_answered else [])

    def _take_all(self, results: Iterable[JobResult]) -> None:
        for result in results:
            if result.job_id.startswith(self._prefix):  # the file may hold an earlier round
                self._take(self._asked[int(result.job_id[1:])], result)
            if len(self._entries) >= _KEPT_AT_ONCE:
                self._keep()
        if self._entries:
            self._keep()

    def _take(self, rows: Sequence[Row], result: JobResult) -> None:
        self._taken += 1
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
        """Write to the cache first: what counts as answered is never asked again."""
        self._cache.put_many([entry for _, entry in self._entries])
        self._answers.update((number, entry.json_result) for number, entry in self._entries)
        self._entries = []
