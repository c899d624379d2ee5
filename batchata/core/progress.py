"""What a run shows of itself: plain numbers for displays, callbacks and `status()`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

BatchWord = Literal["pending", "running", "complete", "failed", "cancelled"]

#: states in which a vendor has not begun
_BEFORE: Final = frozenset({"intended", "creating", "unresolved", "queued"})
#: how a finished submission ended; any other state means well
_ENDS: Final[dict[str, BatchWord]] = {
    "cancelled": "cancelled",
    "expired": "failed",
    "failed": "failed",
    "dropped": "failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionView:
    """One submission as a person sees it."""

    token: str
    provider: str
    model: str
    state: str  #: a RemoteState or SubmissionStatus in lower case
    total: int
    batch_id: str | None = None
    done: int = 0  #: requests the vendor has ended, failed ones included
    failed: int = 0
    settled: int = 0  #: jobs of it that the run's own counts already hold
    started_at: datetime | None = None
    finished_at: datetime | None = None  #: None while it may still bring answers
    cost_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    note: str | None = None

    @property
    def is_finished(self) -> bool:
        """True when no more answers will come from it."""
        return self.finished_at is not None

    @property
    def ahead(self) -> int:
        """Requests the vendor has ended and the run has not counted yet."""
        return 0 if self.is_finished else max(0, self.done - self.settled)

    @property
    def word(self) -> BatchWord:
        """Its state as progress callbacks know it."""
        if self.is_finished:
            return _ENDS.get(self.state, "complete")
        return "pending" if self.state in _BEFORE else "running"

    def data(self) -> dict[str, Any]:
        """Its entry in `RunView.batch_data`."""
        entry: dict[str, Any] = {
            "start_time": self.started_at,
            "status": self.word,
            "total": self.total,
            "completed": max(0, self.done - self.failed),
            "failed": self.failed,
            "cost": self.cost_usd,
            "estimated_cost": self.reserved_usd,
            "provider": self.provider,
            "model": self.model,
        }
        if self.finished_at is not None:
            entry["completion_time"] = self.finished_at
        if self.note is not None:
            entry["error"] = self.note
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """The live calls of a run at one moment."""

    in_flight: int  #: calls without an answer
    throttled: int = 0  #: how often vendors asked to slow down
    paused_seconds: float = 0.0  #: for how long a vendor still wants to hear nothing
    jobs_per_second: float = 0.0  #: over the last ten seconds
    tokens_per_minute: float = 0.0  #: in and out, over the last ten seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A whole run at one moment; the first six numbers are counts of jobs."""

    run_id: str
    total: int
    pending: int = 0
    submitted: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0
    done_before: int = 0  #: jobs that were final when this process began
    spent_usd: Decimal = Decimal(0)
    reserved_usd: Decimal = Decimal(0)
    uncertain_calls: int = 0  #: answers that were lost and may have been billed
    uncertain_usd: Decimal = Decimal(0)  #: the most they can have cost, counted to the limit
    limit_usd: Decimal | None = None
    is_cost_exact: bool = True
    input_tokens: int = 0
    output_tokens: int = 0
    elapsed_seconds: float = 0.0
    submissions_total: int = 0
    submissions_done: int = 0
    submissions_waiting: int = 0  #: chunks ready but held back
    items_per_batch: int | None = None
    active: tuple[SubmissionView, ...] = ()  #: all unfinished ones and the last few finished
    live: LiveView | None = None  #: while jobs are asked live
    note: str | None = None  #: what the run waits for, as "waiting for the network"
    results_dir: str | None = None
    state_file: str | None = None
    is_taking_in: bool = False  #: more jobs may come than are counted yet
    is_complete: bool = False

    @property
    def done(self) -> int:
        """Jobs that have ended, well or not."""
        return self.succeeded + self.failed + self.cancelled + self.skipped

    @property
    def progressed(self) -> int:
        """Jobs that have ended here, or at the vendor with their answers still to be fetched."""
        ahead = sum(each.ahead for each in self.active)
        return self.done + min(ahead, self.submitted)

    @property
    def fraction(self) -> float:
        """How much of the run is over, from 0 to 1."""
        if self.total <= 0:
            return 1.0 if self.is_complete else 0.0
        return min(1.0, self.progressed / self.total)

    @property
    def jobs_per_second(self) -> float:
        """Jobs ended by this process per second so far."""
        if self.elapsed_seconds <= 0:
            return 0.0
        return max(0, self.done - self.done_before) / self.elapsed_seconds

    @property
    def eta_seconds(self) -> float | None:
        """Seconds that are probably left; None while nothing can be said."""
        if self.is_complete:
            return 0.0
        if self.is_taking_in:
            return None
        progressed = self.progressed
        if self.live is not None and self.live.jobs_per_second > 0:
            left = max(0, self.total - progressed)
            return left / self.live.jobs_per_second + self.live.paused_seconds
        gained = progressed - self.done_before
        if gained <= 0 or self.elapsed_seconds <= 0:
            return None
        return self.elapsed_seconds * max(0, self.total - progressed) / gained

    def stats(self) -> dict[str, Any]:
        """The numbers of `BatchRun.status()`; `pending` counts every job that has not ended."""
        live = self.live
        in_flight = [each for each in self.active if not each.is_finished]
        return {
            "total": self.total,
            "pending": self.total - self.done,
            "active": self.submitted,
            "completed": self.succeeded,
            "failed": self.failed,
            "cancelled": self.cancelled,
            "skipped": self.skipped,
            "cost_usd": self.spent_usd,
            "reserved_usd": self.reserved_usd,
            "possibly_billed": self.uncertain_calls,
            "possibly_billed_usd": self.uncertain_usd,
            "cost_limit_usd": self.limit_usd,
            "is_complete": self.is_complete,
            "batches_total": self.submissions_total,
            "batches_completed": self.submissions_done,
            "batches_pending": self.submissions_total - self.submissions_done,
            "batches_unresolved": sum(each.state == "unresolved" for each in in_flight),
            "current_batch_index": self.submissions_done,
            "current_batch_size": in_flight[0].total if in_flight else 0,
            "items_per_batch": self.items_per_batch,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "eta_seconds": self.eta_seconds,
            "jobs_per_second": live.jobs_per_second if live else self.jobs_per_second,
            "tokens_per_minute": live.tokens_per_minute if live else 0.0,
            "calls_in_flight": live.in_flight if live else 0,
            "throttled_seconds": live.paused_seconds if live else 0.0,
        }

    def batch_data(self) -> dict[str, dict[str, Any]]:
        """Submissions by the vendor's id, or `pending_<n>` while they have none."""
        return {
            each.batch_id or f"pending_{number}": each.data()
            for number, each in enumerate(self.active)
        }
