"""Jobs made ready to be sent: encoded for their vendors once, bounded, and named."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import msgspec
from pydantic import BaseModel

from batchata.core.document import Accepts, Document
from batchata.core.errors import (
    BatchataError,
    DuplicateJobError,
    NoRouteError,
    UnknownPriceError,
    ValidationError,
)
from batchata.core.job import Job, UnaskableJob, derived_id, digest, why_unaskable
from batchata.core.json_bytes import metadata_bytes
from batchata.core.parse import bound_to
from batchata.core.submission import Outcome
from batchata.core.usage import RateCard, to_parts
from batchata.ports import Encoded, Provider


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A job encoded for its vendor, with its name and its upper bound."""

    id: str
    key: bytes | None
    encoded: Encoded
    cost_bound: int  #: 1e-12 USD
    metadata: bytes | None
    response_model: type[BaseModel] | None

    def takes(self, found: Outcome) -> bool:
        """True when a cached answer fits the response model that the job has today."""
        model = self.response_model
        return model is None or not found.parsed or bound_to(model, found.parsed) is not None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A job that cannot be sent, with its name and the reason: it fails alone."""

    id: str
    model: str
    why: str
    metadata: bytes | None


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

    def prepare(self, job: Job) -> Ready | Refused:
        """The job made ready, or why it fails alone.

        Raises DuplicateJobError, UnknownPriceError and NoRouteError: they end the run.
        """
        try:
            return self.ready(job)
        except (DuplicateJobError, UnknownPriceError, NoRouteError):
            raise
        except BatchataError as error:
            metadata = None
            if job.metadata:
                with suppress(ValidationError):  # it may be what is wrong with the job
                    metadata = metadata_bytes(job.metadata)
            why = why_unaskable(job, error)
            return Refused(id=self._name_of_bad(job), model=job.model, why=why, metadata=metadata)

    def ready(self, job: Job) -> Ready:
        """The job made ready; ValidationError when it cannot be said or bounded.

        Raises DuplicateJobError for an id that came before.
        """
        if isinstance(job, UnaskableJob):
            raise ValidationError(job.why)
        provider, model, offered = self._routed(job.model)
        encoded = self._encoded(job, model, offered)
        if encoded.cost_bound_usd is None:
            card = self.card(provider, model, encoded.dearer_tier)
            bound = card.worst_case(
                encoded.input_bound,
                encoded.output_bound,
                web_searches=encoded.web_searches,
                speaks=encoded.speaks,
                factor=encoded.price_factor,
            )
        else:
            bound = to_parts(encoded.cost_bound_usd)
        metadata = metadata_bytes(job.metadata) if job.metadata else None
        job_id, key = self._name(job, encoded)  # last: a job that is refused may have its id yet
        return Ready(
            id=job_id,
            key=key,
            encoded=encoded,
            cost_bound=bound,
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

    def _name_of_bad(self, job: Job) -> str:
        """A name for a job that could not be made ready; DuplicateJobError as in `ready`."""
        if job.id:
            self._claim(job.id)
            return job.id
        said = repr(
            (job.model, job.messages, job.sources, job.prompt, sorted(map(str, job.params)))
        )
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
