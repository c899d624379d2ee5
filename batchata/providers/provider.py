"""The six methods that make a provider, for authors of plug-ins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchata.core.errors import ValidationError
from batchata.core.job import Job, check_number
from batchata.core.result import JobResult


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What is known of a model; None is unknown."""

    name: str
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    batch_discount: float | None = None  #: factor of the live price, as 0.5
    supports_images: bool = False
    supports_files: bool = False
    supports_citations: bool = False
    supports_structured_output: bool = False
    file_types: tuple[str, ...] | list[str] = ()


class Provider(ABC):
    """A vendor in six methods, each of which may be `def` or `async def`.

    Errors tell a run what to do: ProviderUnavailableError (try again), OutcomeUnknownError (the
    vendor may have it), ProviderRejectedError and BatchSubmissionError (do not). Anything else
    stops the run; its state stays good.
    """

    #: the most jobs of one batch
    max_batch_requests: int = 10_000

    def __init__(self) -> None:
        self.models: dict[str, ModelConfig] = {}

    @abstractmethod
    def validate_job(self, job: Job) -> Awaitable[None] | None:
        """Raise ValidationError for a job that cannot be sent; it then fails alone."""

    @abstractmethod
    def create_batch(self, jobs: list[Job], *args: Any, **kwargs: Any) -> Any:
        """Start a batch of jobs of one model; returns its id, or a tuple of the id and anything."""

    @abstractmethod
    def get_batch_status(self, batch_id: str) -> Any:
        """Its state: pending, running, complete, failed or cancelled; or (state, details).

        Of the details, `completed`, `failed` and `total` are shown, and `error` says why it failed.
        """

    @abstractmethod
    def get_batch_results(self, batch_id: str, *args: Any, **kwargs: Any) -> Any:
        """A JobResult for each job that was answered or failed.

        A method that takes one more argument is given its jobs there, by id.
        """

    @abstractmethod
    def cancel_batch(self, batch_id: str) -> Any:
        """Ask the vendor to cancel a batch; True if it will."""

    @abstractmethod
    def estimate_cost(self, jobs: list[Job]) -> Any:
        """The most that these jobs can cost in USD; None leaves it to the price book.

        A run asks for each job alone, and holds its cost limit by the sum.
        """

    def supports_model(self, model: str) -> bool:
        """True when this provider has the model."""
        return model in self.models

    def get_model_config(self, model: str) -> ModelConfig | None:
        """What is known of the model; None if nothing is."""
        return self.models.get(model)

    def get_polling_interval(self) -> float:
        """Seconds between two looks at a batch, at the start."""
        return 1.0

    def validate_params(self, model: str, **params: Any) -> None:
        """Raise ValidationError for parameters that no vendor takes."""
        check_number("temperature", params.get("temperature"), least=0, most=2)
        check_number("max_tokens", params.get("max_tokens"), least=1, whole=True)
        if self.models and not self.supports_model(model):
            raise ValidationError(
                f"there is no model {model!r}", hint=f"there are {', '.join(sorted(self.models))}"
            )

    def close(self) -> Awaitable[None] | None:
        """Close connections; called when a run ends."""
        return None


def checked_results(found: Any) -> Sequence[JobResult]:
    """What `get_batch_results` gave; ValidationError when it is something else."""
    results = list(found)
    for each in results:
        if not isinstance(each, JobResult):
            raise ValidationError(
                f"get_batch_results() gave a {type(each).__name__}", hint="give JobResult values"
            )
    return results


def checked_cost(found: Any) -> Decimal | None:
    """What `estimate_cost` gave, as Decimal USD."""
    if found is None:
        return None
    cost = found if isinstance(found, Decimal) else Decimal(str(found))
    if not cost.is_finite() or cost < 0:
        raise ValidationError(f"estimate_cost() gave {found!r}", hint="a cost is zero or more USD")
    return cost
