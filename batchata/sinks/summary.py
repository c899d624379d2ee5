"""Results added up by model and by reason of failure, with a few to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from batchata.core.result import JobResult
from batchata.core.status import JobStatus

_SAMPLES_OF_A_KIND: Final = 2


@dataclass(slots=True)
class ModelSum:
    """The jobs of one model."""

    provider: str
    model: str
    jobs: int = 0
    succeeded: int = 0
    failed: int = 0
    other: int = 0  #: cancelled, skipped or unfinished
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    def add(self, result: JobResult) -> None:
        """Count one more result."""
        self.jobs += 1
        self.succeeded += result.status is JobStatus.SUCCEEDED
        self.failed += result.status is JobStatus.FAILED
        self.other += result.status not in (JobStatus.SUCCEEDED, JobStatus.FAILED)
        self.input_tokens += result.input_tokens
        self.output_tokens += result.output_tokens
        self.cost_usd += result.cost_usd


@dataclass(slots=True)
class ReasonSum:
    """Jobs that did not succeed for one reason, with the first one's message."""

    status: str
    reason: str
    jobs: int
    example: str


@dataclass(slots=True)
class Summary:
    """Results added up in a single pass, however many there are."""

    models: dict[tuple[str, str], ModelSum] = field(default_factory=dict)
    reasons: dict[tuple[str, str], ReasonSum] = field(default_factory=dict)
    samples: list[JobResult] = field(default_factory=list)
    retried: int = 0  #: jobs that needed more than one attempt
    _kinds: dict[tuple[str, bool], int] = field(default_factory=dict)

    @property
    def jobs(self) -> int:
        """All jobs."""
        return sum(each.jobs for each in self.models.values())

    @property
    def succeeded(self) -> int:
        """Jobs with an answer."""
        return sum(each.succeeded for each in self.models.values())

    def add(self, result: JobResult) -> None:
        """Add one more result."""
        key = (result.provider, result.model)
        found = self.models.get(key)
        if found is None:
            found = self.models[key] = ModelSum(*key)
        found.add(result)
        self.retried += result.attempts > 1
        if result.status is JobStatus.SUCCEEDED:
            self._sample(result)
        else:
            self._reason(result)

    def to_dict(self) -> dict[str, Any]:
        """The sums as JSON-ready values."""
        return {
            "jobs": self.jobs,
            "succeeded": self.succeeded,
            "retried": self.retried,
            "models": [
                {
                    "provider": each.provider,
                    "model": each.model,
                    "jobs": each.jobs,
                    "succeeded": each.succeeded,
                    "failed": each.failed,
                    "other": each.other,
                    "input_tokens": each.input_tokens,
                    "output_tokens": each.output_tokens,
                    "cost_usd": float(each.cost_usd),
                }
                for each in self.models.values()
            ],
            "not_succeeded": [
                {
                    "status": each.status,
                    "reason": each.reason,
                    "jobs": each.jobs,
                    "example": each.example,
                }
                for each in self.reasons.values()
            ],
        }

    def _sample(self, result: JobResult) -> None:
        kind = (result.model, result.parsed_response is not None)
        seen = self._kinds.get(kind, 0)
        if seen < _SAMPLES_OF_A_KIND:
            self._kinds[kind] = seen + 1
            self.samples.append(result)

    def _reason(self, result: JobResult) -> None:
        key = (result.status.value, result.reason.value if result.reason else "")
        found = self.reasons.get(key)
        if found is None:
            self.reasons[key] = ReasonSum(*key, 1, result.error or "")
        else:
            found.jobs += 1


def summarize(results: Iterable[JobResult]) -> Summary:
    """Add results up."""
    summary = Summary()
    for result in results:
        summary.add(result)
    return summary
