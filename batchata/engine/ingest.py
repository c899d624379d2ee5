"""Jobs into the state file: encoded once, bounded, named, and met again if they are known."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec
import orjson
from pydantic import BaseModel

from batchata.core.config import RunConfig
from batchata.core.document import Accepts, Document
from batchata.core.errors import (
    BatchataError,
    DuplicateJobError,
    JobChangedError,
    NoRouteError,
    UnknownPriceError,
    ValidationError,
)
from batchata.core.events import Durable, JobsAdded, OutcomesRecorded, ShapeAdded
from batchata.core.job import Job, UnaskableJob, derived_id, digest, why_unaskable
from batchata.core.parse import bound_to
from batchata.core.result import Reason
from batchata.core.retry import may_reopen
from batchata.core.state import RunState
from batchata.core.status import JobStatus
from batchata.core.submission import Bounds, JobRow, Outcome, Shape, reopened
from batchata.core.usage import RateCard, to_parts
from batchata.engine.reasking import added_cost
from batchata.ports import Encoded, Provider, Store

_GROUP = 1000


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A job in its vendor's words, with its name and its upper bound."""

    id: str
    key: bytes | None
    encoded: Encoded
    cost_bound: int  #: 1e-12 USD
    metadata: bytes | None
    response_model: type[BaseModel] | None


class Preparer:
    """Turns jobs into rows; pure but for reading the files that jobs name."""

    def __init__(
        self,
        *,
        route: Callable[[str], tuple[str, str]],
        provider: Callable[[str], Provider],
        card: Callable[[str, str, str], RateCard],
        load: Callable[[Job, Accepts], tuple[Document, ...]],
        tier: str = "batch",
        is_background: bool = False,
    ) -> None:
        self._is_background = is_background
        self._route = route
        self._provider = provider
        self._card = card
        self._load = load
        self._tier = tier
        #: provider's name, its own name for the model, and the provider
        self._routes: dict[str, tuple[str, str, Provider]] = {}
        self._cards: dict[tuple[str, str, str | None], RateCard] = {}
        self._seen: set[str] = set()
        self._repeats: dict[str, int] = {}

    def ready(self, job: Job) -> Ready:
        """The job made ready; ValidationError when it cannot be said or bounded.

        Raises DuplicateJobError for an id that came before.
        """
        if isinstance(job, UnaskableJob):
            raise ValidationError(job.why)
        provider, model, offered = self._routed(job.model)
        encoded = self._encoded(job, model, offered)
        bound = encoded.cost_bound_usd
        if bound is None:
            card = self.card(provider, model, encoded.dearer_tier)
            bound = card.worst_case_usd(
                encoded.input_bound, encoded.output_bound, web_searches=encoded.web_searches
            )
            bound *= encoded.price_factor
        metadata = _json(job.metadata) if job.metadata else None
        job_id, key = self._name(job, encoded)  # last: a job that is refused may have its id yet
        return Ready(
            id=job_id,
            key=key,
            encoded=encoded,
            cost_bound=to_parts(bound),
            metadata=metadata,
            response_model=job.response_model,
        )

    def _encoded(self, job: Job, model: str, offered: Provider) -> Encoded:
        codec, background = offered.codec, offered.background if self._is_background else None
        if background is not None and job.endpoint is None:
            job = replace(job, endpoint=background.endpoint)
        documents = self._load(job, codec.accepts) if job.sources else ()
        encoded = codec.encode(job, model, documents)
        if background is not None:
            background.check(encoded.shape, encoded.body)
        return encoded

    def name_of_bad(self, job: Job) -> str:
        """A name for a job that could not be made ready; DuplicateJobError as in `ready`."""
        if job.id:
            self._claim(job.id)
            return job.id
        said = repr((job.model, job.messages, job.sources, job.prompt, sorted(job.params)))
        return self._first_free(digest(b"bad", said.encode("utf-8", "replace")))

    def card(self, provider: str, model: str, dearer_tier: str | None = None) -> RateCard:
        """The prices that a job is bounded by; batches know no tiers."""
        key = (provider, model, dearer_tier)
        found = self._cards.get(key)
        if found is None:
            tier = dearer_tier if dearer_tier and self._tier == "standard" else self._tier
            found = self._cards[key] = self._card(provider, model, tier)
        return found

    def _routed(self, model: str) -> tuple[str, str, Provider]:
        found = self._routes.get(model)
        if found is None:
            provider, name = self._route(model)
            found = self._routes[model] = (provider, name, self._provider(provider))
        return found

    def _name(self, job: Job, encoded: Encoded) -> tuple[str, bytes | None]:
        shape = encoded.shape
        fingerprint = digest(shape.provider.encode(), shape.endpoint.encode(), encoded.body)
        if not job.id:
            return self._first_free(fingerprint), None
        self._claim(job.id)
        return job.id, fingerprint

    def _claim(self, job_id: str) -> None:
        if job_id in self._seen:
            raise DuplicateJobError(
                f"two jobs have the id {job_id!r}",
                hint="give each job an id of its own, or leave id out",
            )
        self._seen.add(job_id)

    def _first_free(self, fingerprint: bytes) -> str:
        job_id = derived_id(fingerprint, 0)
        while job_id in self._seen:
            count = self._repeats.get(fingerprint.hex(), 0) + 1
            self._repeats[fingerprint.hex()] = count
            job_id = derived_id(fingerprint, count)
        self._seen.add(job_id)
        return job_id


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
        self._known = self.store.known_ids()
        self._next = len(self.state)
        self.shape_numbers = {shape: n for n, shape in enumerate(self.state.shapes)}
        for job in jobs:
            self._one(job)
            if len(self._rows) + len(self._ended) >= _GROUP:
                self._flush()
                if not self.goes_on():
                    break
        self._flush()

    def _one(self, job: Job) -> None:
        try:
            ready = self.preparer.ready(job)
        except (DuplicateJobError, UnknownPriceError, NoRouteError):
            raise
        except BatchataError as error:
            self._fail(job, error)
            return
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
        if found is None:
            return
        model = ready.response_model
        if model is None or not found.parsed or bound_to(model, found.parsed) is not None:
            self._ended.append(found)

    def _shape(self, ready: Ready) -> int:
        shape = ready.encoded.shape
        number = self.shape_numbers.get(shape)
        if number is None:
            number = len(self.state.shapes)
            self._flush()
            self.record(ShapeAdded(number=number, shape=shape))
            self.shape_numbers[shape] = number
        if ready.response_model is not None:
            self.response_models[number] = ready.response_model
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
        """A job that will be asked with its refused answer: bounded by the prices of today."""
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

    def _fail(self, job: Job, error: BatchataError) -> None:
        job_id = self.preparer.name_of_bad(job)
        known = self._known.get(job_id)
        seq = self._next if known is None else known
        self.order.append(seq)
        if known is None:
            self._next += 1
            metadata = None
            if job.metadata:
                with suppress(ValidationError):  # it may be what is wrong with the job
                    metadata = _json(job.metadata)
            number = self._shapeless(job)
            self._rows.append(JobRow(seq, job_id, number, b"", None, metadata, 0, 0, 0))
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
                error=why_unaskable(job, error),
                finished_us=self.now_us(),
            )
        )

    def _shapeless(self, job: Job) -> int:
        shape = Shape(provider="", endpoint="", model=job.model)
        number = self.shape_numbers.get(shape)
        if number is None:
            self._flush()
            number = len(self.state.shapes)
            self.record(ShapeAdded(number=number, shape=shape))
            self.shape_numbers[shape] = number
        return number

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


def _json(metadata: object) -> bytes:
    try:
        return orjson.dumps(metadata)
    except (TypeError, msgspec.EncodeError) as error:
        raise ValidationError(
            f"metadata {metadata!r:.80} cannot be kept: {error}",
            hint="metadata is a mapping of text, numbers, lists and mappings",
        ) from error


def _changed(job_id: str, status: JobStatus) -> JobChangedError:
    return JobChangedError(
        f"job {job_id!r} is {status} in the state file, and came back with another question",
        hint="give changed jobs new ids, use another state file, or keep the old answers with "
        '.set_state(file, on_changed="keep")',
    )
