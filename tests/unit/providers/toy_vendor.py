"""A vendor in memory, by the six methods that plug-ins write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchata import Job, JobResult, ValidationError
from batchata.core.errors import BatchSubmissionError
from batchata.providers import ModelConfig, Provider


@dataclass
class ToyVendor:
    """What lives at the vendor's, whichever process asks."""

    batches: dict[str, list[Job]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    polls: int = 2  #: looks until a batch is done
    is_closed: bool = False

    @property
    def asked(self) -> list[str]:
        """Every prompt that was sent, in order."""
        return [str(job.prompt) for jobs in self.batches.values() for job in jobs]


class ToyProvider(Provider):
    """Answers with the prompt turned round, for a cent."""

    def __init__(self, vendor: ToyVendor) -> None:
        super().__init__()
        self.vendor = vendor
        self.models = {"echo-1": ModelConfig("echo-1", batch_discount=0.5)}
        self.given: list[Job] = []

    def get_polling_interval(self) -> float:
        return 0.01

    def validate_job(self, job: Job) -> None:
        if job.prompt == "forbidden":
            raise ValidationError("the toy vendor does not take that prompt")

    def create_batch(self, jobs: list[Job], raw_files_dir: str | None = None) -> object:
        if any(job.prompt == "refuse the batch" for job in jobs):
            raise BatchSubmissionError("the toy vendor refuses")
        batch_id = f"toy/{len(self.vendor.batches) + 1}"
        self.vendor.batches[batch_id] = jobs
        return batch_id, {job.id: job for job in jobs}

    def get_batch_status(self, batch_id: str) -> tuple[str, dict[str, object]]:
        looks = self.vendor.looks[batch_id] = self.vendor.looks.get(batch_id, 0) + 1
        if batch_id in self.vendor.cancelled:
            return "cancelled", {}
        if looks < self.vendor.polls:
            return "running", {"total": len(self.vendor.batches[batch_id])}
        return "complete", {"completed": len(self.vendor.batches[batch_id])}

    def get_batch_results(
        self, batch_id: str, job_mapping: Mapping[str, Job], raw_files_dir: str | None = None
    ) -> list[JobResult]:
        self.given = [job_mapping[job.id] for job in self.vendor.batches[batch_id]]
        return [
            answer(job, batch_id)
            for job in self.vendor.batches[batch_id]
            if job.prompt != "leave out" and batch_id not in self.vendor.cancelled
        ]

    def cancel_batch(self, batch_id: str) -> bool:
        self.vendor.cancelled.add(batch_id)
        return True

    def estimate_cost(self, jobs: list[Job]) -> float:
        return 0.02 * len(jobs)

    def close(self) -> None:
        self.vendor.is_closed = True


def answer(job: Job, batch_id: str) -> JobResult:
    """The result of one toy job."""
    if job.prompt == "go wrong":
        return JobResult(job_id=job.id, error="it went wrong", cost_usd=0.005)  # type: ignore[arg-type]
    text = str(job.prompt)[::-1]
    wants_json = job.response_model is not None or job.response_schema is not None
    return JobResult(
        job_id=job.id,
        raw_response=text,
        parsed_response={"text": text} if wants_json else None,
        input_tokens=3,
        output_tokens=4,
        cost_usd=0.01,  # type: ignore[arg-type]
        batch_id=batch_id,
    )


class Anything(dict[str, Job]):
    """Has a job for every id."""

    def __missing__(self, job_id: str) -> Job:
        return Job(job_id, "echo-1", prompt="")


class AsyncToyProvider(ToyProvider):
    """The same, by coroutines, and with the house's own shapes."""

    async def validate_job(self, job: Job) -> None:  # type: ignore[override]
        ToyProvider.validate_job(self, job)

    async def create_batch(self, jobs: list[Job]) -> str:  # type: ignore[override]
        ToyProvider.create_batch(self, jobs)
        return f"toy/{len(self.vendor.batches)}"

    async def get_batch_status(self, batch_id: str) -> str:  # type: ignore[override]
        return ToyProvider.get_batch_status(self, batch_id)[0]

    async def get_batch_results(self, batch_id: str) -> list[JobResult]:  # type: ignore[override]
        return ToyProvider.get_batch_results(self, batch_id, Anything())

    async def cancel_batch(self, batch_id: str) -> bool:  # type: ignore[override]
        return ToyProvider.cancel_batch(self, batch_id)

    async def estimate_cost(self, jobs: list[Job]) -> float:  # type: ignore[override]
        return ToyProvider.estimate_cost(self, jobs)
