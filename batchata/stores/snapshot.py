"""A whole state file as one value, for people and tests; JSON-ready both ways."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from batchata.core.errors import StateError
from batchata.core.result import JobResult
from batchata.core.status import JobStatus

FORMAT: Final = "batchata-state-1"
_OPEN: Final = (JobStatus.PENDING, JobStatus.SUBMITTED)


@dataclass(kw_only=True)
class BatchState:
    """What a state file held at one moment.

    The engine writes increments and never a whole state: this is to look at, to test with and to
    write back with `StateManager.save`.
    """

    created_at: datetime  #: aware UTC
    #: in the order they were added: `id`, `model`, `provider`, `endpoint`, `status`, `attempts`,
    #: `body` (the request), `metadata`, and what the engine needs to send it
    jobs: list[dict[str, Any]] = field(default_factory=list)
    #: batches that vendors have or may have: `token`, `batch_id`, `status`, `job_ids`, …
    submissions: list[dict[str, Any]] = field(default_factory=list)
    #: one for every job that has ended; its cost is that of all attempts of the job
    results: list[JobResult] = field(default_factory=list)
    #: attempts that another one followed or will follow, each with its own cost
    earlier: list[JobResult] = field(default_factory=list)
    cost_limit_usd: Decimal | None = None
    #: files that vendors have, had or may have: `token`, `provider`, `file_id`, `status`, …
    uploads: list[dict[str, Any]] = field(default_factory=list)

    @property
    def total_cost_usd(self) -> Decimal:
        """What all attempts cost."""
        ended = {each.job_id for each in self.results}
        open_ends = (each for each in self.earlier if each.job_id not in ended)
        return sum((each.cost_usd for each in (*open_ends, *self.results)), Decimal(0))

    @property
    def pending_jobs(self) -> list[dict[str, Any]]:
        """Jobs without an answer: not sent, or still at a vendor (`status` says which)."""
        return [job for job in self.jobs if job["status"] in _OPEN]

    @property
    def completed_results(self) -> list[JobResult]:
        """Results of the jobs that succeeded."""
        return [each for each in self.results if each.status is JobStatus.SUCCEEDED]

    @property
    def failed_jobs(self) -> list[dict[str, Any]]:
        """`id`, `error`, `reason` and `timestamp` of every job that failed."""
        return self._ended(JobStatus.FAILED)

    @property
    def cancelled_jobs(self) -> list[dict[str, Any]]:
        """`id`, `error`, `reason` and `timestamp` of every job that was cancelled."""
        return self._ended(JobStatus.CANCELLED)

    def _ended(self, status: JobStatus) -> list[dict[str, Any]]:
        return [
            {
                "id": each.job_id,
                "error": each.error,
                "reason": each.reason.value if each.reason else None,
                "timestamp": each.finished_at.isoformat() if each.finished_at else None,
            }
            for each in self.results
            if each.status is status
        ]

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON-ready values; costs are text, so that none is rounded."""
        limit = self.cost_limit_usd
        return {
            "format": FORMAT,
            "created_at": self.created_at.isoformat(),
            "cost_limit_usd": None if limit is None else money_text(limit),
            "total_cost_usd": money_text(self.total_cost_usd),
            "jobs": copy.deepcopy(self.jobs),
            "submissions": copy.deepcopy(self.submissions),
            "uploads": copy.deepcopy(self.uploads),
            "results": [_result_dict(each) for each in self.results],
            "earlier": [_result_dict(each) for each in self.earlier],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchState:
        """A state from `to_dict()`; StateError for any other mapping."""
        if data.get("format") != FORMAT:
            raise StateError(
                f"this is not a batch state: its format is {data.get('format')!r}",
                hint="give what BatchState.to_dict() made, or StateManager.import_legacy(path)",
            )
        limit = data["cost_limit_usd"]
        return cls(
            created_at=datetime.fromisoformat(data["created_at"]),
            jobs=copy.deepcopy(list(data["jobs"])),
            submissions=copy.deepcopy(list(data["submissions"])),
            results=[JobResult.from_dict(each) for each in data["results"]],
            earlier=[JobResult.from_dict(each) for each in data["earlier"]],
            cost_limit_usd=None if limit is None else Decimal(limit),
            uploads=copy.deepcopy(list(data.get("uploads", ()))),
        )


def _result_dict(result: JobResult) -> dict[str, Any]:
    return {**result.to_dict(), "cost_usd": money_text(result.cost_usd)}


def money_text(usd: Decimal) -> str:
    """USD as plain text: the same for the same amount."""
    return format(usd.normalize(), "f")
