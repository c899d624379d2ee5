"""A vendor of ours by the six methods, for scripts that keep their own books.

Nothing here writes an intent, holds a budget or looks for a batch whose create call was lost:
`Batch.run()` does. The methods are sync; each opens the vendor's client in a short-lived loop of
its own and closes it again, so that they work in scripts, threads and notebooks alike.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from batchata.core.document import Accepts, Document
from batchata.core.errors import (
    DuplicateJobError,
    ProviderError,
    UnknownModelError,
    ValidationError,
)
from batchata.core.job import Job, derived_id, digest
from batchata.core.models import split_model
from batchata.core.progress import BatchWord
from batchata.core.result import Failure, JobResult
from batchata.core.status import RemoteState
from batchata.core.submission import Shape
from batchata.core.usage import RateCard, from_parts
from batchata.ports import BatchAPI, BatchLook, Encoded, Item
from batchata.ports import Provider as Vendor
from batchata.prices import GenaiPriceBook
from batchata.providers.blocking import wait_for
from batchata.providers.control import ProviderSettings
from batchata.providers.direct import Request, fetch, send
from batchata.providers.provider import ModelConfig, Provider
from batchata.providers.registry import create_provider, registered, route
from batchata.providers.results import answered_result, failed_result, missing_result

T = TypeVar("T")
Jobs = Mapping[str, Job] | Iterable[Job]

_WORDS: Final[Mapping[RemoteState, BatchWord]] = {
    RemoteState.QUEUED: "pending",
    RemoteState.RUNNING: "running",
    RemoteState.CANCELLING: "running",
    RemoteState.COMPLETED: "complete",
    RemoteState.EXPIRED: "failed",
    RemoteState.CANCELLED: "cancelled",
    RemoteState.FAILED: "failed",
}


def get_provider(
    model: str, *, client: Any = None, api_key: str | None = None, base_url: str | None = None
) -> Provider:
    """The provider of a model, with `validate_job`, `create_batch`, `get_batch_status` and more.

    Raises UnknownModelError when no provider can be told from the name.
    """
    name, _ = route(model)
    found = registered(name)
    if found is not None:
        return found
    settings = ProviderSettings(client=client, api_key=api_key, base_url=base_url)
    return VendorProvider(name, settings)


class VendorProvider(Provider):
    """One of the installed vendors, over its codec and its batch API."""

    def __init__(self, name: str, settings: ProviderSettings | None = None) -> None:
        super().__init__()
        self.name = name
        self._settings = settings
        vendor = self._vendor()
        self._codec = vendor.codec
        self._prices = GenaiPriceBook()
        self._sent: dict[str, list[Job]] = {}  #: by batch, what this object sent

    def validate_job(self, job: Job) -> None:
        """Raise ValidationError for a job that cannot be sent."""
        self._request(job)

    def create_batch(
        self, jobs: Iterable[Job], raw_files_dir: str | Path | None = None, **_: Any
    ) -> str:
        """Start a batch of jobs that may share one, and return its id.

        The request file is kept in `raw_files_dir`. Raises OutcomeUnknownError when the vendor may
        have taken the batch although the call failed: look at its dashboard before trying again.
        """
        wanted = list(jobs)
        requests = self._requests(wanted)
        with _folder(raw_files_dir) as folder:
            batch_id = self._with_api(lambda api: send(api, requests, folder))
        self._sent[batch_id] = wanted
        return batch_id

    def get_batch_status(self, batch_id: str) -> tuple[BatchWord, dict[str, Any]]:
        """How far the batch is, as pending, running, complete, failed or cancelled; and details."""
        look = self._with_api(lambda api: api.look(batch_id))
        details = {
            "state": look.state.value,
            "vendor_status": look.word,
            "total": look.counts.total,
            "completed": look.counts.succeeded,
            "failed": look.counts.failed,
            "error": look.failure.message if look.failure else None,
        }
        return _WORDS[look.state], details

    def get_batch_results(
        self,
        batch_id: str,
        job_mapping: Jobs | None = None,
        raw_files_dir: str | Path | None = None,
        **_: Any,
    ) -> list[JobResult]:
        """A result for each job of the batch, those without an answer included.

        The jobs are those that this object sent, or those given. The vendor's files are kept in
        `raw_files_dir`.
        """
        requests = self._requests(self._jobs_of(batch_id, job_mapping))
        with _folder(raw_files_dir) as folder:
            look, found = self._with_api(lambda api: fetch(api, batch_id, requests, folder))
        return [
            missing_result(each.job_id, each.encoded.shape, batch_id, look)
            if item is None
            else self._result(each, item, batch_id)
            for each, item in found
        ]

    def cancel_batch(self, batch_id: str) -> bool:
        """Ask the vendor to stop the batch; True when it is stopping or has stopped."""

        async def cancel(api: BatchAPI) -> BatchLook:
            await api.cancel(batch_id)
            return await api.look(batch_id)

        state = self._with_api(cancel).state
        return state in (RemoteState.CANCELLING, RemoteState.CANCELLED)

    def estimate_cost(self, jobs: Iterable[Job]) -> Decimal:
        """The most that these jobs can cost as a batch, in USD.

        Raises UnknownPriceError for a model without a price.
        """
        total = Decimal(0)
        for job in jobs:
            encoded = self._request(job).encoded
            total += self._bound_usd(encoded)
        return total

    def _bound_usd(self, encoded: Encoded) -> Decimal:
        bound = self._card(encoded.shape).worst_case(
            encoded.input_bound,
            encoded.output_bound,
            web_searches=encoded.web_searches,
            speaks=encoded.speaks,
            factor=encoded.price_factor,
        )
        return from_parts(bound)

    def _card(self, shape: Shape) -> RateCard:
        return self._prices.card(self.name, shape.model, "batch")

    def supports_model(self, model: str) -> bool:
        """True when the name belongs to this vendor; whether there is such a model, it knows."""
        try:
            return route(model)[0] == self.name
        except ValidationError:
            return False

    def get_model_config(self, model: str) -> ModelConfig | None:
        """What is known of a model; names that are new to us are fine."""
        if not self.supports_model(model):
            return None
        cites = self.name == "anthropic"
        return ModelConfig(
            self._bare(model),
            supports_images=True,
            supports_files=True,
            supports_citations=cites,
            supports_structured_output=True,
        )

    def get_polling_interval(self) -> float:
        """Seconds between two looks at a batch, at the start."""
        return float(_batch_of(self._vendor()).poll_seconds)

    def _vendor(self) -> Vendor:
        found: Vendor = create_provider(self.name, self._settings)
        return found

    def _bare(self, model: str) -> str:
        return split_model(model, [self.name])[1]

    def _request(self, job: Job) -> Request:
        self._check_vendor(job.model)
        encoded = self._codec.encode(job, self._bare(job.model), _loaded(job, self._codec.accepts))
        shape = encoded.shape
        content = digest(shape.provider.encode(), shape.endpoint.encode(), encoded.body)
        return Request(job.id or derived_id(content, 0), job, encoded)

    def _check_vendor(self, model: str) -> None:
        try:
            vendor = route(model)[0]
        except UnknownModelError:  # its own name for a model, without the vendor's before it
            return
        if vendor != self.name:
            raise ValidationError(
                f"{model!r} is a model of {vendor}, and this provider is {self.name}",
                hint=f'write get_provider("{model}") for it, or "{self.name}:{model}" if it has '
                "a model of that name",
            )

    def _requests(self, jobs: Sequence[Job]) -> list[Request]:
        if not jobs:
            raise ValidationError("there are no jobs", hint="give at least one")
        requests = [self._request(job) for job in jobs]
        seen: set[str] = set()
        for each in requests:
            if each.job_id in seen:
                raise DuplicateJobError(
                    f"two jobs have the id {each.job_id!r}", hint="give each an id of its own"
                )
            seen.add(each.job_id)
        return requests

    def _jobs_of(self, batch_id: str, given: Jobs | None) -> list[Job]:
        if given is None:
            given = self._sent.get(batch_id)
        if given is None:
            raise ValidationError(
                f"batch {batch_id!r} was not sent by this object: its jobs are not known here",
                hint="write get_batch_results(batch_id, jobs)",
            )
        if isinstance(given, Mapping):
            return [job.with_id(job_id) for job_id, job in given.items()]
        return list(given)

    def _with_api(self, work: Callable[[BatchAPI], Awaitable[T]]) -> T:
        async def run() -> T:
            vendor = self._vendor()
            try:
                return await work(_batch_of(vendor))
            finally:
                await vendor.aclose()

        return wait_for(run())

    def _result(self, request: Request, item: Item, batch_id: str) -> JobResult:
        encoded = request.encoded
        answer = item.failure or self._codec.decode(encoded.shape, item.body or b"")
        if isinstance(answer, Failure):
            return failed_result(request.job_id, encoded.shape, batch_id, answer)
        if answer.usage is None:  # not said: the most that it can have cost
            cost = self._bound_usd(encoded)
        else:
            cost = self._card(encoded.shape).cost_usd(answer.usage) * answer.price_factor
        return answered_result(
            request.job_id,
            request.job,
            encoded,
            answer,
            cost_usd=cost,
            batch_id=batch_id,
            request_id=item.request_id,
        )


def _loaded(job: Job, accepts: Accepts) -> tuple[Document, ...]:
    if not job.sources:
        return ()
    from batchata.documents import Wanted, load_all

    wanted = Wanted(
        accepts=accepts,
        is_cited=job.enable_citations,
        downscale_images=job.downscale_images,
    )
    return load_all(job.sources, wanted)


def _batch_of(vendor: Vendor) -> BatchAPI:
    if vendor.batch is None:
        raise ProviderError(f"provider {vendor.name!r} has no batches")
    return vendor.batch


@contextmanager
def _folder(given: str | Path | None) -> Iterator[Path]:
    if given is not None:
        path = Path(given)
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="batchata-") as made:
        yield Path(made)
