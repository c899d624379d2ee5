"""Events as the statements that keep them in the state file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, assert_never

from batchata.core.errors import StateError
from batchata.core.events import (
    Durable,
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    ShapeAdded,
    SubmissionIntended,
    SubmissionMoved,
    UploadIntended,
    UploadMoved,
)
from batchata.core.status import SubmissionStatus
from batchata.core.submission import reopened
from batchata.stores import schema

#: a statement, and the rows that it is executed for
Work: TypeAlias = tuple[str, list[tuple[Any, ...]]]


@dataclass(slots=True)
class _Numbers:
    """The highest that a file has given; of jobs the next one."""

    outcomes: int
    submissions: int
    jobs: int


class Statements:
    """Turns the events of one commit after another into statements, with the numbers they get."""

    def __init__(self, db: sqlite3.Connection, *, is_read_only: bool) -> None:
        self._db = db
        self._kept = self._now = _numbers_of(db)
        #: numbers by token: of what an earlier process left open, and of all since then
        self._submissions = {} if is_read_only else _open_submissions(db)
        self._new: dict[str, int] = {}  #: of the commit that is being made

    @property
    def last_outcome(self) -> int:
        """Number of the newest outcome that is in the file."""
        return self._kept.outcomes

    def of(self, events: Iterable[Durable]) -> list[Work]:
        """All that one commit writes; what came of the last one that was not kept is forgotten."""
        self._now = replace(self._kept)
        self._new.clear()
        return [work for event in events for work in self._of(event)]

    def kept(self) -> None:
        """The commit is on disk, and its numbers are given."""
        self._kept = self._now
        self._submissions.update(self._new)

    def _of(self, event: Durable) -> list[Work]:
        match event:
            case ShapeAdded():
                return [(schema.ADD_SHAPE, [schema.shape_row(event.number, event.shape)])]
            case JobsAdded():
                return [*_jobs(event, is_bare=not has_attachments(self._db)), *self._again(event)]
            case SubmissionIntended():
                number = self._name(event.submission.token)
                return [(schema.ADD_SUBMISSION, [schema.submission_row(number, event.submission)])]
            case SubmissionMoved():
                return [(schema.MOVE_SUBMISSION, [self._moved(event)])]
            case OutcomesRecorded():
                return self._ended(event)
            case UploadIntended():
                return [(schema.ADD_UPLOAD, [schema.upload_row(event.upload)])]
            case UploadMoved():
                moved = (int(event.status), event.file_id, event.expires_us, event.token)
                return [(schema.MOVE_UPLOAD, [moved])]
            case LimitSet():
                return [("INSERT OR REPLACE INTO meta VALUES ('limit',?)", [(event.limit,)])]
            case _:
                assert_never(event)

    def _again(self, event: JobsAdded) -> list[Work]:
        """A job that is replaced is pending again, whatever became of its earlier question."""
        known = self._now.jobs
        self._now.jobs = max([known, *(row.seq + 1 for row in event.rows)])
        again = [reopened(row.seq, 0) for row in event.rows if row.seq < known]
        return self._ended(OutcomesRecorded(outcomes=again)) if again else []

    def _ended(self, event: OutcomesRecorded) -> list[Work]:
        first = self._now.outcomes + 1
        self._now.outcomes += len(event.outcomes)
        subs: dict[str | None, int | None] = {None: None}
        narrow, wide = [], []
        for number, outcome in enumerate(event.outcomes, first):
            token = outcome.token
            if token is not None and token not in subs:
                subs[token] = self._number(token)
            narrow.append(schema.outcome_row(number, subs[token], outcome))
            wide.append(schema.answer_row(number, outcome))
        work: list[Work] = [(schema.ADD_OUTCOME, narrow), (schema.ADD_ANSWER, wide)]
        bounds = [
            (each.again.size_bytes, each.again.input_bound, each.again.cost_bound, each.seq)
            for each in event.outcomes
            if each.again is not None
        ]
        if bounds:
            work.append((schema.REBOUND_JOB, bounds))
        if event.closes is not None:
            collected = SubmissionMoved(token=event.closes, status=SubmissionStatus.COLLECTED)
            work.append((schema.MOVE_SUBMISSION, [self._moved(collected)]))
        return work

    def _moved(self, event: SubmissionMoved) -> tuple[Any, ...]:
        return (
            int(event.status),
            event.remote_id,
            event.input_ref,
            event.sent_us,
            event.accepted_us,
            event.note,
            self._number(event.token),
        )

    def _name(self, token: str) -> int:
        """The number of a new submission."""
        if token in self._submissions or token in self._new:
            raise StateError(f"the state file has a submission {token!r} already")
        self._now.submissions += 1
        self._new[token] = self._now.submissions
        return self._now.submissions

    def _number(self, token: str) -> int:
        """The number of a submission; tokens have no index, a page of which each would write."""
        for known in (self._new, self._submissions):
            if token in known:
                return known[token]
        row = self._db.execute("SELECT n FROM submissions WHERE token=?", (token,)).fetchone()
        if row is None:
            raise StateError(f"the state file has no submission {token!r}")
        return int(row[0])


def has_attachments(db: sqlite3.Connection) -> bool:
    """True when any job of the file has files."""
    return db.execute("SELECT 1 FROM attachments LIMIT 1").fetchone() is not None


def _numbers_of(db: sqlite3.Connection) -> _Numbers:
    select = "SELECT (SELECT max(n) FROM outcomes), (SELECT max(n) FROM submissions), "
    found = db.execute(select + "(SELECT max(seq)+1 FROM jobs)").fetchone()
    return _Numbers(*(number or 0 for number in found))


def _open_submissions(db: sqlite3.Connection) -> dict[str, int]:
    """Numbers of the submissions that an earlier process left, by token."""
    select = "SELECT token, n FROM submissions WHERE status<>?"
    return dict(db.execute(select, (SubmissionStatus.COLLECTED,)))


def _jobs(event: JobsAdded, *, is_bare: bool) -> list[Work]:
    work: list[Work] = [
        (schema.ADD_JOB, [schema.job_row(row) for row in event.rows]),
        # sqlite3 takes a bytearray as it is, and looks for an adapter of bytes each time
        (schema.ADD_BODY, [(row.seq, bytearray(row.body)) for row in event.rows]),
    ]
    if not is_bare:  # a job that is replaced keeps none of its files
        work.append((schema.DROP_ATTACHMENTS, [(row.seq,) for row in event.rows]))
    files = [each for row in event.rows for each in schema.attachment_rows(row)]
    if files:
        work.append((schema.ADD_ATTACHMENT, files))
    return work


__all__ = ["Statements", "Work", "has_attachments"]
