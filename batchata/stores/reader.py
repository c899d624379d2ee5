"""Results read back from a state file, a few at a time, while or after a run."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from batchata.core.assemble import Bind, job_result, unfinished
from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.core.status import STATUSES, JobStatus
from batchata.core.submission import Submission
from batchata.stores import schema
from batchata.stores.sqlite import SQLiteStore

_GROUP = 500


def bind_nothing(number: int) -> type[BaseModel] | None:
    """No response model is known: parsed answers stay plain values."""
    return None


class ResultReader:
    """The latest result of each job, by its status, in the order the jobs were added."""

    def __init__(self, path: Path, wanted: bytes | None = None, bind: Bind = bind_nothing) -> None:
        self._store = SQLiteStore(path, read_only=True)
        self.state: RunState = self._store.load()
        self._wanted = wanted
        self._bind = bind
        self._last = array("Q", bytes(8 * len(self.state)))
        self._paid: list[tuple[int, int, int]] = []  #: (number, seq, cost) without usable answers
        for number, seq, cost in self._store.table.last_outcomes():
            self._last[seq] = number
            if cost:
                self._paid.append((number, seq, cost))
        self._submissions: dict[int, Submission] = {
            row[0]: schema.submission_of(row) for row in self._store.table.submission_rows()
        }
        self._ids: dict[str, int] | None = None
        self._paid_until: dict[int, int] | None = None  #: by seq, up to where `after` has come

    def seqs(self, *statuses: JobStatus) -> Iterator[int]:
        """Jobs of these statuses, all when none is named."""
        asked = set(statuses or STATUSES)
        status = self.state.status
        for seq in range(len(status)):
            if self._is_wanted(seq) and STATUSES[status[seq]] in asked:
                yield seq

    def ids(self) -> dict[str, int]:
        """Job id to seq, of the jobs asked for."""
        if self._ids is None:
            known = self._store.known_ids()
            self._ids = {job_id: seq for job_id, seq in known.items() if self._is_wanted(seq)}
        return self._ids

    def read(self, seqs: Iterable[int]) -> Iterator[JobResult]:
        """Results of these jobs, in this order."""
        group: list[int] = []
        for seq in seqs:
            group.append(seq)
            if len(group) >= _GROUP:
                yield from self._group(group)
                group = []
        yield from self._group(group)

    def after(self, number: int, limit: int = 1000) -> tuple[int, list[JobResult]]:
        """Final results that came after outcome `number`, and the number read up to."""
        rows = self._store.table.rows(number, limit)
        if any(self._is_news(row) for row in rows):
            self._refresh()
        paid = self._paid_until = self._paid_until or self._paid_by(number)
        found = []
        for row in rows:
            seq, status, cost = row[1], STATUSES[row[4]], row[8]
            before = paid.get(seq, 0)
            if status.is_final:
                found.append(self._result(row, before))
            if cost and status is not JobStatus.SUCCEEDED:
                paid[seq] = before + cost
        return (rows[-1][0] if rows else number), found

    def _paid_by(self, number: int) -> dict[int, int]:
        paid: dict[int, int] = {}
        for at, seq, cost in self._paid:
            if at <= number:
                paid[seq] = paid.get(seq, 0) + cost
        return paid

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()

    def _is_news(self, row: tuple[Any, ...]) -> bool:
        shape, sub = row[3], row[6]
        return shape >= len(self.state.shapes) or (sub is not None and sub not in self._submissions)

    def _refresh(self) -> None:
        """Read the shapes and submissions that were added since the file was opened."""
        self.state.shapes = self._store.table.shapes()
        self._submissions = {
            row[0]: schema.submission_of(row) for row in self._store.table.submission_rows()
        }

    def _is_wanted(self, seq: int) -> bool:
        wanted = self._wanted
        return wanted is None or (seq < len(wanted) and bool(wanted[seq]))

    def _group(self, seqs: Sequence[int]) -> Iterator[JobResult]:
        if not seqs:
            return
        rows = {
            row[1]: row
            for row in self._store.table.rows_of(
                [self._last[seq] for seq in seqs if self._last[seq]]
            )
        }
        ids = self._store.ids(seqs)
        metadata = self._store.metadata([seq for seq in seqs if not self._is_final(seq)])
        for seq, job_id in zip(seqs, ids, strict=True):
            status = self.state.status_of(seq)
            if status.is_final:
                last = rows[seq]
                cost = 0 if status is JobStatus.SUCCEEDED else last[8]
                yield self._result(last, self.state.paid.get(seq, 0) - cost)
            else:
                shape = self.state.shapes[self.state.shape_of[seq]]
                paid = self.state.paid.get(seq, 0)
                yield unfinished(
                    job_id, status, shape, self.state.attempts[seq], metadata.get(seq), paid
                )

    def _is_final(self, seq: int) -> bool:
        return self.state.status_of(seq).is_final

    def _result(self, row: tuple[object, ...], paid_before: int) -> JobResult:
        return result_of(row, self.state, self._submissions.get, self._bind, paid_before)


def result_of(
    row: tuple[object, ...],
    state: RunState,
    submission: Callable[[int], Submission | None],
    bind: Bind,
    paid_before: int = 0,
) -> JobResult:
    """A result from a row of schema.RESULTS."""
    number = row[6]
    found = submission(number) if isinstance(number, int) else None
    outcome = schema.outcome_of(row, found.token if found else None)
    shape = int(str(row[3]))
    metadata = row[24]
    return job_result(
        outcome,
        str(row[2]),
        shape,
        state.shapes[shape],
        found,
        metadata if isinstance(metadata, bytes) else None,
        bind,
        paid_before,
    )
