"""A state file without a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from msgspec import structs

from batchata.core.document import Attachment
from batchata.core.errors import StateError
from batchata.core.events import (
    Durable,
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.result import Reason
from batchata.core.state import RunState
from batchata.core.submission import JobRow, Outcome


class MemoryStore:
    """Keeps the events themselves; give it another one's `events` to go on after a crash."""

    def __init__(self, events: Iterable[Durable] = (), meta: dict[str, Any] | None = None) -> None:
        self.events: list[Durable] = []
        self.values: dict[str, Any] = dict(meta or {})
        self.is_closed = False
        self._rows: dict[int, JobRow] = {}
        self._tokens: set[str] = set()
        self._outcomes: list[Outcome] = []
        self.commit(*events)

    def load(self) -> RunState:
        """The fold of all events; no job is wanted until a run says so."""
        state, limit = RunState(), None
        for event in self.events:
            if isinstance(event, LimitSet):
                limit = event.limit  # a limit that was lowered later undoes nothing
            else:
                state.apply(event)
        state.cost.limit = limit
        state.wanted = bytearray(len(state))
        state.counts = [0] * len(state.counts)
        state.spent_by = {}
        return state

    def known_ids(self) -> dict[str, int]:
        """Job id to seq of every job."""
        return {row.id: seq for seq, row in self._rows.items()}

    def keys(self, seqs: Iterable[int]) -> dict[int, bytes | None]:
        """Fingerprints of jobs whose ids are the user's."""
        return {seq: self._rows[seq].key for seq in seqs}

    def commit(self, *events: Durable) -> None:
        """Keep these events, all or none; StateError when they cannot follow what is kept."""
        self._check(events)
        for event in events:
            if isinstance(event, JobsAdded):
                self._rows.update({row.seq: row for row in event.rows})
            elif isinstance(event, SubmissionIntended):
                self._tokens.add(event.submission.token)
            elif isinstance(event, OutcomesRecorded):
                self._outcomes.extend(event.outcomes)
        self.events.extend(events)

    def bodies(self, seqs: Sequence[int]) -> Iterator[bytes]:
        """Request bodies in the order asked for."""
        return (self._rows[seq].body for seq in seqs)

    def output_bounds(self, seqs: Iterable[int]) -> dict[int, int]:
        """The most output tokens of these jobs."""
        return {seq: self._rows[seq].output_bound for seq in seqs}

    def refused(self, seqs: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The last answer of each job that did not fit its schema, and what was wrong with it."""
        wanted = set(seqs)
        return {
            each.seq: (each.text or "", each.error or "")
            for each in self._outcomes
            if each.seq in wanted and each.reason is Reason.INVALID_ANSWER
        }

    def last_outcomes(self, seqs: Sequence[int]) -> dict[int, Outcome]:
        """The newest outcome of each of these jobs that has one, without its submission."""
        wanted = set(seqs)
        return {
            each.seq: structs.replace(each, token=None)
            for each in self._outcomes
            if each.seq in wanted
        }

    def attachments(self, seqs: Iterable[int]) -> dict[int, tuple[Attachment, ...]]:
        """Files of these jobs; jobs without any are left out."""
        found = {seq: self._rows[seq].attachments for seq in seqs}
        return {seq: attached for seq, attached in found.items() if attached}

    def ids(self, seqs: Sequence[int]) -> list[str]:
        """Job ids in the order asked for."""
        return [self._rows[seq].id for seq in seqs]

    def metadata(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """The users' own data of those of these jobs that have any, as JSON."""
        found = {seq: self._rows[seq].metadata for seq in seqs}
        return {seq: data for seq, data in found.items() if data is not None}

    def meta(self, key: str) -> Any:
        """A small value kept beside the run, None when it was never set."""
        return self.values.get(key)

    def set_meta(self, **values: str | int | None) -> None:
        """Keep small values beside the run, all or none."""
        self.values.update(values)

    @property
    def last_number(self) -> int:
        """Number of the newest outcome."""
        return len(self._outcomes)

    @property
    def outcomes_by_id(self) -> dict[str, Outcome]:
        """The newest outcome of every job that has one, by job id."""
        return {self._rows[outcome.seq].id: outcome for outcome in self._outcomes}

    def close(self) -> None:
        """Nothing is held."""
        self.is_closed = True

    def _check(self, events: Iterable[Durable]) -> None:
        tokens = set(self._tokens)
        for event in events:
            if isinstance(event, SubmissionIntended):
                if event.submission.token in tokens:
                    raise StateError(f"submission {event.submission.token!r} was intended before")
                tokens.add(event.submission.token)
            elif isinstance(event, SubmissionMoved):
                _known(event.token, tokens)
            elif isinstance(event, OutcomesRecorded):
                for token in {each.token for each in event.outcomes} | {event.closes}:
                    _known(token, tokens)


def _known(token: str | None, tokens: set[str]) -> None:
    if token is not None and token not in tokens:
        raise StateError(f"there is no submission {token!r}")
