"""The attributes of a run that users of earlier releases read; `results()` says more."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any

from batchata.core.progress import RunView
from batchata.core.result import JobResult
from batchata.results import Results


class KnownRun(ABC):
    """The names by which runs were asked before `results()` was a mapping."""

    @abstractmethod
    def results(self) -> Results:
        """Every job of the run with how it ended so far."""

    @property
    @abstractmethod
    def view(self) -> RunView:
        """The run now, as plain numbers."""

    def to_json(self) -> str:
        """Status and results as JSON text."""
        status = {name: _plain(value) for name, value in self.view.stats().items()}
        found = [result.to_dict() for result in self.results().iter_all()]
        return json.dumps({"status": status, "results": found}, ensure_ascii=False)

    def get_failed_jobs(self) -> dict[str, str]:
        """Job id to error of every job that did not succeed."""
        found = self.results()
        bad = (*found.failed, *found.cancelled, *found.skipped)
        return {result.job_id: result.error or "" for result in bad}

    @property
    def completed_results(self) -> dict[str, JobResult]:
        """Job id to result of the jobs that succeeded."""
        return {result.job_id: result for result in self.results().completed}

    @property
    def failed_jobs(self) -> dict[str, str]:
        """Job id to error of the jobs that failed."""
        return {result.job_id: result.error or "" for result in self.results().failed}

    @property
    def cancelled_jobs(self) -> dict[str, str]:
        """Job id to reason of the jobs that were cancelled."""
        return {result.job_id: result.error or "" for result in self.results().cancelled}

    @property
    def batch_tracking(self) -> dict[str, dict[str, Any]]:
        """The batches in flight and those that ended last, by the vendor's id."""
        return self.view.batch_data()

    @property
    def total_batches(self) -> int:
        """Batches made so far."""
        return self.view.submissions_total

    @property
    def completed_batches(self) -> int:
        """Batches that have ended."""
        return self.view.submissions_done


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else float(value)
