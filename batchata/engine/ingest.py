"""Jobs into the state file: written down when they are new, met again when they are known."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pydantic import BaseModel

from batchata.core.config import RunConfig
from batchata.core.errors import JobChangedError, ValidationError
from batchata.core.events import Durable, JobsAdded, OutcomesRecorded, ShapeAdded
from batchata.core.job import Job
from batchata.core.result import Reason
from batchata.core.retry import may_reopen
from batchata.core.state import RunState
from batchata.core.status import JobStatus
from batchata.core.submission import Bounds, JobRow, Outcome, Shape, reopened
from batchata.engine.preparing import Preparer, Ready, Refused
from batchata.engine.reasking import added_cost
from batchata.ports import Store

_GROUP = 1000


@dataclass(slots=True)
class Ingest:
    """Feeds a run's jobs into its store and state."""

    config: RunConfig
    store: Store
    state: RunState
    preparer: Preparer
    record: Callable[..., None]
    now_us: Callable[[], int]
    response_models: dict[int, type[BaseModel]]
    goes_on: Callable[[], bool] = lambda: True
    #: (shape, body, seq, µs) → the outcome of a question that was answered before
    recall: Callable[[Shape, bytes, int, int], Outcome | None] | None = None
    shape_numbers: dict[Shape, int] = field(default_factory=dict)
    order: array[int] = field(default_factory=lambda: array("I"))  #: seqs as the jobs came
    _rows: list[JobRow] = field(default_factory=list)
    #: bad from the start, known before, or to be asked again
    _ended: list[Outcome] = field(default_factory=list)
    _known: Mapping[str, int] = field(default_factory=dict)
    _next: int = 0

    def take(self, jobs: Iterable[Job]) -> None:
        """Take in every job; one that cannot be sent fails alone, with its reason.

        Raises JobChangedError, DuplicateJobError, UnknownPriceError and NoRouteError before
        anything is sent.
        """
        self.begin()
        prepared = map(self.preparer.prepare, jobs)
        while group := list(islice(prepared, _GROUP)):
            self.admit(group)
            if not self.goes_on():
                break

    def begin(self) -> None:
        """Look at what the state file knows, before the first job."""
        self._known = self.store.known_ids()
        self._next = len(self.state)
        self.shape_numbers = {shape: n for n, shape in enumerate(self.state.shapes)}

    def admit(self, group: Iterable[Ready | Refused]) -> array[int]:
        """Write down the next jobs of the script and want them; their seqs.

        Raises JobChangedError.
        """
        first = len(self.order)
        try:
            for each in group:
                if isinstance(each, Ready):
                    self._admit(each)
                else:
                    self._fail(each)
        except JobChangedError:
            del self.order[first:]  # none of them is asked
            raise
        self._flush()
        return self.order[first:]

    def _admit(self, ready: Ready) -> None:
        number = self._shape(ready)
        seq = self._known.get(ready.id)
        if seq is None:
            seq = self._next
            self._next += 1
            self._rows.append(_row(seq, number, ready))
            self._recall(seq, ready)
        else:
            self._meet(seq, number, ready)
        self.order.append(seq)

    def _recall(self, seq: int, ready: Ready) -> None:
        if self.recall is None:
            return
        encoded = ready.encoded
        found = self.recall(encoded.shape, encoded.body, seq, self.now_us())
        if found is not None and ready.takes(found):
            self._ended.append(found)

    def _shape(self, ready: Ready) -> int:
        number = self._number(ready.encoded.shape)
        if ready.response_model is not None:
            self.response_models[number] = ready.response_model
        return number

    def _number(self, shape: Shape) -> int:
        number = self.shape_numbers.get(shape)
        if number is None:
            self._flush()
            number = len(self.state.shapes)
            self.record(ShapeAdded(number=number, shape=shape))
            self.shape_numbers[shape] = number
        return number

    def _meet(self, seq: int, number: int, ready: Ready) -> None:
        state = self.state
        state.want(seq)
        status = state.status_of(seq)
        is_changed = False
        if ready.key is not None:
            is_changed = self.store.keys([seq])[seq] != ready.key
        if is_changed and self._is_settled(seq, status):
            if self.config.on_changed == "error":
                raise _changed(ready.id, status)
            return
        if status is JobStatus.SUBMITTED:
            return
        goes_again = status.is_final and self._may_reopen(seq)
        if status.is_final and not goes_again:
            return
        if seq in state.reasks and not is_changed:
            self._meet_again(seq, ready)
        elif is_changed or state.cost_bound[seq] != ready.cost_bound or not state.size_bytes[seq]:
            self._rows.append(_row(seq, number, ready))
            self._recall(seq, ready)
        elif goes_again:
            self._ended.append(reopened(seq, self.now_us()))
        elif not state.attempts[seq]:
            self._recall(seq, ready)

    def _meet_again(self, seq: int, ready: Ready) -> None:
        """Bound a job that is asked again with its refused answer, at today's prices."""
        state, encoded = self.state, ready.encoded
        tokens = state.input_bound[seq]
        shape, most = encoded.shape, encoded.output_bound
        bound = ready.cost_bound
        if tokens > encoded.input_bound:
            card = self.preparer.card(shape.provider, shape.model, encoded.dearer_tier)
            bound += added_cost(card, encoded.input_bound, tokens, most, encoded.price_factor)
        if bound != state.cost_bound[seq]:
            again = Bounds(state.size_bytes[seq], tokens, bound)
            self._ended.append(
                Outcome(
                    seq=seq,
                    status=JobStatus.PENDING,
                    attempt=state.attempts[seq],
                    finished_us=self.now_us(),
                    again=again,
                )
            )

    def _is_settled(self, seq: int, status: JobStatus) -> bool:
        if status in (JobStatus.SUCCEEDED, JobStatus.SUBMITTED):
            return True
        return status is JobStatus.FAILED and not self._may_reopen(seq)

    def _may_reopen(self, seq: int) -> bool:
        return may_reopen(self.state.status_of(seq), self.state.reason_of(seq))

    def _fail(self, refused: Refused) -> None:
        known = self._known.get(refused.id)
        seq = self._next if known is None else known
        self.order.append(seq)
        if known is None:
            self._next += 1
            number = self._number(Shape(provider="", endpoint="", model=refused.model))
            row = JobRow(seq, refused.id, number, b"", None, refused.metadata, 0, 0, 0)
            self._rows.append(row)
        else:
            self.state.want(seq)
            if self.state.status_of(seq) is not JobStatus.PENDING:
                return
        self._ended.append(
            Outcome(
                seq=seq,
                status=JobStatus.FAILED,
                attempt=0,
                reason=Reason.BAD_INPUT,
                error=refused.why,
                finished_us=self.now_us(),
            )
        )

    def _flush(self) -> None:
        events: list[Durable] = []
        if self._rows:
            events.append(JobsAdded(rows=self._rows))
        if self._ended:
            events.append(OutcomesRecorded(outcomes=self._ended))
        if events:
            self.record(*events)
        self._rows, self._ended = [], []


def _row(seq: int, shape: int, ready: Ready) -> JobRow:
    encoded = ready.encoded
    return JobRow(
        seq,
        ready.id,
        shape,
        encoded.body,
        ready.key,
        ready.metadata,
        encoded.input_bound,
        encoded.output_bound,
        ready.cost_bound,
        encoded.attachments,
    )


def no_jobs() -> ValidationError:
    """The error of a script without jobs."""
    return ValidationError(
        "No jobs added to batch",
        hint="what add_jobs() was given is empty, or an earlier run or estimate read it",
    )


def _changed(job_id: str, status: JobStatus) -> JobChangedError:
    return JobChangedError(
        f"job {job_id!r} is {status} in the state file, and came back with another question",
        hint="give changed jobs new ids, use another state file, or keep the old answers with "
        '.set_state(file, on_changed="keep")',
    )
