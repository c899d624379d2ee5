"""Floor 1: what the engine needs of the world, as Protocols. Does no work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import msgspec

from batchata.core.document import Accepts, Attachment, Document
from batchata.core.events import Durable, Event
from batchata.core.job import Job
from batchata.core.pacing import Quota
from batchata.core.result import Answer, Failure
from batchata.core.state import RunState
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, Outcome, RequestCounts, Shape, Submission
from batchata.core.upload import Destination, Upload
from batchata.core.usage import RateCard


class Clock(Protocol):
    """Time and chance; tests pass their own."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def random(self) -> float:
        """A number in [0, 1)."""

    async def sleep(self, seconds: float) -> None: ...


class Encoded(msgspec.Struct, frozen=True, kw_only=True):
    """A job in a vendor's words."""

    shape: Shape
    body: bytes  #: JSON
    input_bound: int  #: tokens, never less than the vendor will count
    output_bound: int  #: tokens
    web_searches: int = 0  #: the most that may be charged for
    speaks: bool = False  #: the answer may be audio
    dearer_tier: str | None = None  #: asked for by the request, and dearer than the standard one
    price_factor: Decimal = Decimal(1)  #: of all prices, for where it is to be answered
    cost_bound_usd: Decimal | None = None  #: where the provider says it itself; None: by price
    attachments: tuple[Attachment, ...] = ()  #: files that the body only marks


class WithErrors(Protocol):
    """The request `body` again, with the answer that was refused and why."""

    def __call__(self, shape: Shape, body: bytes, answer: str, errors: Sequence[str]) -> bytes: ...


class Codec(Protocol):
    """Job to JSON and back. Pure: no network, no clock."""

    accepts: Accepts  #: the files that the vendor takes as they are

    @property
    def with_errors(self) -> WithErrors | None:
        """How to ask again after an answer that does not fit; None: by the same question."""

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The request body for the vendor's own `model`; ValidationError when it cannot be said."""

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The vendor's answer body in our words; never raises for what a vendor sends."""


@dataclass(frozen=True, slots=True)
class BatchLook:
    """What a vendor says of one of its batches now."""

    state: RemoteState
    counts: RequestCounts
    word: str  #: the vendor's own status word
    failure: Failure | None = None  #: why the vendor refused the whole batch
    bad_lines: Mapping[int, Failure] = field(default_factory=dict)  #: by line from 1
    is_queue_full: bool = False  #: refused for now only: the vendor's queue is full
    is_too_large: bool = False  #: refused for its size only: in smaller batches the jobs may go
    retry_after_seconds: float | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """One line of a vendor's results: an answer body, or why there is none."""

    custom_id: str
    body: msgspec.Raw | None = None
    failure: Failure | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A lost submission was found at the vendor."""

    remote_id: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """The vendor's listing is complete and does not have it."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The vendor cannot tell yet, or never can."""

    why: str
    is_final: bool = False  #: asking again is of no use


Lookup = Found | NotThere | CannotTell


class BatchAPI(Protocol):
    """A vendor's batch endpoint. Its calls are never repeated by the layers below."""

    limits: BatchLimits
    poll_seconds: float  #: the vendor's own pace
    #: framing of the uploaded file: head, lines joined by `separator`, tail
    head: bytes
    separator: bytes
    tail: bytes
    request_suffix: str  #: ".jsonl" or ".json"

    def group(self, shape: Shape) -> str:
        """Jobs of equal groups may share a batch."""

    def custom_id(self, token: str, job_id: str) -> str:
        """The name of a job inside a batch."""

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """One request of the uploaded file."""

    async def upload(self, submission: Submission, path: Path) -> str | None:
        """Bring the file to the vendor where that is a step of its own; its id there."""

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        """The id of this file where an upload whose answer was lost has brought it; else None."""

    async def create(self, submission: Submission, path: Path) -> str:
        """Start the batch and return its id.

        Raises OutcomeUnknownError when the vendor may have it, ProviderUnavailableError when it
        surely has not, ProviderRejectedError when it said no.
        """

    async def look(self, remote_id: str) -> BatchLook:
        """Ask how far the batch is; ProviderUnavailableError when the vendor cannot be asked."""

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        """Look for a submission whose create call has no answer; `known` ids are others'."""

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        """Stream the batch's result files to `folder`, complete or not at all."""

    def items(self, path: Path) -> Iterator[Item]:
        """Read a result file line by line."""

    async def cancel(self, remote_id: str) -> None:
        """Ask the vendor to stop the batch."""

    async def forget(self, submission: Submission) -> None:
        """Remove what `upload` left at the vendor, where it is of no more use."""


@dataclass(frozen=True, slots=True)
class LiveReply:
    """How one live call ended: an answer body, or why there is none."""

    quota: Quota
    body: bytes | None = None
    failure: Failure | None = None
    request_id: str | None = None
    is_congested: bool = False  #: the vendor asked to slow down
    poll_after_seconds: float | None = None  #: when to ask for what was only begun


class LiveAPI(Protocol):
    """A vendor's live endpoints. A call is never repeated by the layers below."""

    request_bytes: int | None  #: the most that one call may carry, None: unknown

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask one question.

        Raises OutcomeUnknownError when the vendor may have taken it, ProviderUnavailableError when
        it surely has not.
        """


@dataclass(frozen=True, slots=True)
class ResponseLook:
    """What a vendor says of a background response now."""

    word: str  #: the vendor's own status word
    is_final: bool
    body: bytes  #: as the vendor sent it; of a final one the codec reads the answer
    poll_after_seconds: float | None = None  #: the vendor's own pace; None: not said


class BackgroundAPI(LiveAPI, Protocol):
    """A vendor that answers later: `send` only begins, and the reply's body names the response.

    A refusal of `send` is sure: what the vendor may have begun raises OutcomeUnknownError.
    """

    endpoint: str  #: the one that answers in the background
    poll_seconds: float  #: where the vendor names no pace

    def check(self, shape: Shape, body: bytes) -> None:
        """Raise ValidationError for a job that cannot be asked in the background. Pure."""

    def id_of(self, body: bytes) -> str:
        """The id of the response that `send` began; OutcomeUnknownError when none is named."""

    async def retrieve(self, response_id: str) -> ResponseLook:
        """Ask how far a response is.

        Raises ProviderUnavailableError when the vendor cannot be asked, ProviderRejectedError when
        it says no: with status 404 it does not have it, or not any more.
        """

    async def cancel(self, response_id: str) -> None:
        """Ask the vendor to stop; one that has ended stays as it is."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that a vendor has."""

    id: str
    expires_us: int | None = None  #: µs since the epoch, UTC; None: it stays


class FilesAPI(Protocol):
    """A vendor's place for files that requests name by id. Its calls are never repeated below.

    They raise ProviderUnavailableError when the vendor cannot be asked, ProviderRejectedError
    when it said no.
    """

    def destination(self, shape: Shape, attachment: Attachment) -> Destination | None:
        """As what a file of such a request is uploaded; None where it can be inline only."""

    def refer(self, body: bytes, ids: Mapping[str, str]) -> bytes:
        """A request body that names files by their `ids`, by marker. Pure."""

    async def upload(self, upload: Upload, file: BinaryIO) -> RemoteFile:
        """Bring a file to the vendor, which removes it by itself after some days.

        An error of ours that reading `file` raises comes out as it is, and nothing is kept.
        """

    async def find(self, upload: Upload) -> list[RemoteFile]:
        """What lies at the vendor under this upload's name."""

    async def look(self, file_id: str) -> RemoteFile | None:
        """The file, None when the vendor has it no longer."""

    async def delete(self, file_id: str) -> None:
        """Remove a file; one that is not there any more is no error."""


class Provider(Protocol):
    """One vendor: a codec and the APIs it offers; an API it lacks is None."""

    name: str
    codec: Codec
    batch: BatchAPI | None
    live: LiveAPI | None
    background: BackgroundAPI | None
    files: FilesAPI | None

    async def aclose(self) -> None:
        """Close connections."""


class PriceBook(Protocol):
    """Dated prices."""

    def card(self, provider: str, model: str, tier: str) -> RateCard:
        """Prices of a model on a tier ("standard", "batch", …); UnknownPriceError without one."""


class Store(Protocol):
    """The state file as the engine uses it. Every write is one transaction."""

    def load(self) -> RunState:
        """Everything the file knows, folded."""

    def known_ids(self) -> dict[str, int]:
        """Job id to seq of every job in the file."""

    def keys(self, seqs: Iterable[int]) -> dict[int, bytes | None]:
        """Fingerprints of jobs whose ids are the user's."""

    def commit(self, *events: Durable) -> None:
        """Keep these events, all or none; StateError when the disk refuses."""

    def bodies(self, seqs: Sequence[int]) -> Iterator[bytes]:
        """Request bodies in the order asked for."""

    def output_bounds(self, seqs: Iterable[int]) -> dict[int, int]:
        """The most output tokens of these jobs."""

    def refused(self, seqs: Iterable[int]) -> dict[int, tuple[str, str]]:
        """The last answer of each job that did not fit its schema, and what was wrong with it.

        Jobs without such an answer are left out.
        """

    def last_outcomes(self, seqs: Sequence[int]) -> dict[int, Outcome]:
        """The newest outcome of each of these jobs that has one, without its submission."""

    def attachments(self, seqs: Iterable[int]) -> dict[int, tuple[Attachment, ...]]:
        """Files of these jobs; jobs without any are left out."""

    def ids(self, seqs: Sequence[int]) -> list[str]:
        """Job ids in the order asked for."""

    def metadata(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """The users' own data of those of these jobs that have any, as JSON."""

    def meta(self, key: str) -> Any:
        """A small value kept beside the run, None when it was never set."""

    def set_meta(self, **values: str | int | None) -> None:
        """Keep small values beside the run, all or none."""

    @property
    def last_number(self) -> int:
        """Number of the newest outcome."""

    def close(self) -> None:
        """Checkpoint and let go of the file."""


@runtime_checkable
class EventSink(Protocol):
    """Is told what happened; must not raise."""

    def emit(self, event: Event) -> None: ...
