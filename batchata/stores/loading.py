"""A state file folded back into what a run knows, column by column."""

from __future__ import annotations

import sqlite3
from array import array
from typing import Any, Final

from batchata.core.errors import StateError
from batchata.core.state import RunState, reason_code
from batchata.core.status import CODES, STATUSES, JobStatus
from batchata.core.usage import Usage
from batchata.stores import schema
from batchata.stores.spend_table import spent_outside

_PENDING: Final = CODES[JobStatus.PENDING]
_SUBMITTED: Final = CODES[JobStatus.SUBMITTED]
_SUCCEEDED: Final = CODES[JobStatus.SUCCEEDED]


class Loader:
    """Folds the tables back into a RunState, column by column."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._state = RunState()
        self._last_sub = array("I")

    def state(self) -> RunState:
        """The folded state."""
        for row in self._db.execute("SELECT * FROM shapes ORDER BY n"):
            self._state.shapes.append(schema.shape_of(row))
        self._jobs()
        self._outcomes()
        for row in self._db.execute("SELECT * FROM submissions ORDER BY n"):
            self._submission(row)
        self._state.uploads = {each.token: each for each in schema.uploads_of(self._db)}
        limit = self._db.execute("SELECT value FROM meta WHERE key='limit'").fetchone()
        self._state.cost.limit = limit[0] if limit else None
        return self._state

    def _jobs(self) -> None:
        state = self._state
        select = "SELECT seq, shape, size_bytes, input_bound, cost_bound FROM jobs ORDER BY seq"
        for seq, shape, size, tokens, bound in self._db.execute(select):
            if seq != len(state.shape_of):
                raise StateError(f"the state file has no job {len(state.shape_of)}")
            state.shape_of.append(shape)
            state.size_bytes.append(size)
            state.input_bound.append(tokens)
            state.cost_bound.append(bound)
        count = len(state.shape_of)
        state.status = bytearray(count)
        state.attempts = bytearray(count)
        state.reason = bytearray(count)
        state.wanted = bytearray(count)
        self._last_sub = array("I", bytes(4 * count))

    def _outcomes(self) -> None:
        status, attempts, last_sub = self._state.status, self._state.attempts, self._last_sub
        reasons = self._state.reason
        select = "SELECT seq, status, attempt, sub, reason, cost FROM outcomes ORDER BY n"
        for seq, code, attempt, sub, reason, cost in self._db.execute(select):
            if cost and code != _SUCCEEDED:
                self._state.paid[seq] = self._state.paid.get(seq, 0) + cost
            status[seq] = code
            attempts[seq] = attempt
            self._state.count_reasks(seq, STATUSES[code], attempt, reason)
            if reason or code != _PENDING:
                reasons[seq] = reason_code(reason)
            if sub:
                last_sub[seq] = sub
        sums = self._db.execute(
            "SELECT coalesce(sum(cost),0), coalesce(sum(input),0), coalesce(sum(output),0), "
            "coalesce(sum(cache_read),0), coalesce(sum(cache_write),0), "
            "coalesce(sum(reasoning),0), coalesce(sum(cache_write_1h),0), "
            "coalesce(sum(web_searches),0), coalesce(sum(uncertain),0), "
            "coalesce(sum(uncertain>0),0) FROM outcomes"
        ).fetchone()
        self._state.cost.spent = sums[0]
        self._state.usage = Usage(*sums[1:-2])
        spent, uncertain = spent_outside(self._db)
        self._state.cost.spent += spent
        self._state.cost.uncertain = sums[-2] + uncertain
        self._state.cost.uncertain_calls = sums[-1]

    def _submission(self, row: tuple[Any, ...]) -> None:
        state, number = self._state, row[0]
        submission = schema.submission_of(row)
        state.submissions[submission.token] = submission
        if not submission.status.is_open:
            return
        left = [seq for seq in submission.seqs if self._last_sub[seq] < number]
        for seq in left:
            state.status[seq] = _SUBMITTED
        held = state.bounds_of(left)
        state.left[submission.token] = len(left)
        state.held[submission.token] = held
        state.cost.reserved += held
