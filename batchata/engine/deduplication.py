"""Jobs that ask the same question: one of them is sent, and all get its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import orjson

from batchata.core.events import Durable, OutcomesRecorded
from batchata.core.job import digest
from batchata.core.status import CODES, JobStatus
from batchata.core.submission import Outcome
from batchata.core.usage import Usage
from batchata.engine.context import RunContext

_GROUP = 500
#: what a job that is asked passes on to those that wait for it; a cancelled one says nothing
_SHARED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SKIPPED})


class Deduplicator:
    """Which jobs wait for the answer of another; about a hundred bytes for each kind of question.

    Nothing of it is kept on disk: it is told anew from the state file, and an answer is committed
    together with those of all who wait for it.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._leaders: dict[bytes, int] = {}
        self._followers: dict[int, list[int]] = {}

    def hold_back(self, pending: Sequence[int]) -> list[int]:
        """The jobs to ask; the others have their answer already, or wait for one of them."""
        state = self._context.state
        self._meet(_of_status(state.status, JobStatus.SUCCEEDED, JobStatus.SUBMITTED))
        asked = self._meet(pending)
        answered = {
            leader: self._followers.pop(leader)
            for leader in list(self._followers)
            if state.status_of(leader) is JobStatus.SUCCEEDED
        }
        self._hand_over(answered)
        return asked

    def share(self, event: Durable) -> Durable:
        """The event, with the outcomes of jobs that waited for one of its own added."""
        if not isinstance(event, OutcomesRecorded) or not self._followers:
            return event
        shared = [
            copy
            for outcome in event.outcomes
            if outcome.seq in self._followers and outcome.status in _SHARED
            for copy in self._copies(outcome, self._followers.pop(outcome.seq))
        ]
        if not shared:
            return event
        return OutcomesRecorded(outcomes=[*event.outcomes, *shared], closes=event.closes)

    def _meet(self, seqs: Iterable[int]) -> list[int]:
        """Note the first job of each question, and return those that are the first."""
        first = []
        for seq, key in self._keys(seqs):
            leader = self._leaders.setdefault(key, seq)
            if leader == seq:
                first.append(seq)
            elif self._context.state.status_of(seq) is JobStatus.PENDING:
                self._followers.setdefault(leader, []).append(seq)
        return first

    def _keys(self, seqs: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        store, shape_of = self._context.store, self._context.state.shape_of
        for group in _groups(seqs):
            for seq, body in zip(group, store.bodies(group), strict=True):
                yield seq, digest(shape_of[seq].to_bytes(2, "little"), body)

    def _hand_over(self, answered: dict[int, list[int]]) -> None:
        for group in _groups(answered):
            known = self._context.store.last_outcomes(group)
            copies = [copy for seq in group for copy in self._copies(known[seq], answered[seq])]
            self._context.record(OutcomesRecorded(outcomes=copies))

    def _copies(self, outcome: Outcome, seqs: Sequence[int]) -> Iterator[Outcome]:
        [job_id] = self._context.store.ids([outcome.seq])
        error = outcome.error
        if error is not None:
            error = f"asked as {job_id!r}, which is the same question: {error}"
        kept = {} if outcome.extra is None else orjson.loads(outcome.extra)
        kept["extra"] = {**(kept.get("extra") or {}), "answered_by": job_id}
        extra = orjson.dumps(kept)
        for seq in seqs:
            yield msgspec.structs.replace(
                outcome,
                seq=seq,
                attempt=0,
                token=None,
                cost=0,
                uncertain=0,
                usage=Usage(),
                error=error,
                extra=extra,
                finished_us=self._context.now_us(),
            )


def _of_status(status: bytearray, *wanted: JobStatus) -> Iterator[int]:
    codes = {CODES[each] for each in wanted}
    return (seq for seq, code in enumerate(status) if code in codes)


def _groups(seqs: Iterable[int]) -> Iterator[list[int]]:
    group: list[int] = []
    for seq in seqs:
        group.append(seq)
        if len(group) >= _GROUP:
            yield group
            group = []
    if group:
        yield group
