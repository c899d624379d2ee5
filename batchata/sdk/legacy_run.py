"""The attributes of a run that users of earlier releases read; `results()` says more."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchata.core.config import RunConfig
from batchata.core.errors import RunError
from batchata.core.job import Job
from batchata.core.progress import RunView
from batchata.core.result import JobResult
from batchata.sdk.results import Results
from batchata.stores.manager import StateManager

if TYPE_CHECKING:
    from batchata.sdk.wiring import Session


class LegacyRun(ABC):
    """The names by which runs were asked before `results()` was a mapping."""

    config: RunConfig
    _session: Session | None

    @abstractmethod
    def results(self) -> Results:
        """Every job of the run with how it ended so far."""

    @property
    @abstractmethod
    def view(self) -> RunView:
        """The run now, as plain numbers."""

    @abstractmethod
    def _opened(self) -> Session:
        """The session behind the run; RunError before the run was started."""

    @property
    @abstractmethod
    def state_manager(self) -> StateManager:
        """The state file, seen from outside of the run; RunError before the run was started."""

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
    def pending_jobs(self) -> list[dict[str, Any]]:
        """The jobs without an answer, as `state_manager.load()` has them."""
        state = self.state_manager.load()
        return state.pending_jobs if state is not None else []

    @property
    def results_dir(self) -> Path | None:
        """The results folder, None where there is none."""
        return self.config.results_dir

    @property
    def raw_files_dir(self) -> Path | None:
        """The folder of the vendors' request and response files, None where they are not kept."""
        folder = self.config.results_dir
        return folder / "raw_files" if folder is not None and self.config.raw_files else None

    @property
    def batch_tracking(self) -> dict[str, dict[str, Any]]:
        """The batches in flight and those that ended last, by the vendor's id."""
        session = self._session
        return {} if session is None else session.batch_data(self.view)

    @property
    def jobs(self) -> dict[str, Job]:
        """Job id to job, of those that the run has taken in.

        Raises RunError before the run was started, and if the jobs came from a generator or a
        state file: those are not kept in memory.
        """
        found = self._opened().script_jobs
        if found is None:
            raise RunError(
                "the run does not keep the jobs of a generator or of a state file",
                hint="add them as a list, or read results(): each has its job_id and metadata",
            )
        return found.by_id()

    @property
    def total_batches(self) -> int:
        """Batches made so far."""
        return self.view.submissions_total

    @property
    def completed_batches(self) -> int:
        """Batches that have ended."""
        return self.view.submissions_done

    @property
    def current_batch_index(self) -> int:
        """How many batches have ended."""
        return int(self.view.stats()["current_batch_index"])

    @property
    def current_batch_size(self) -> int:
        """Jobs of the oldest batch in flight; 0 where there is none."""
        return int(self.view.stats()["current_batch_size"])


def _plain(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool, type(None))) else float(value)
