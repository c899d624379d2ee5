"""When a failed call is made again, and how long to wait before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchata.core.result import PAID_FAILURES, TRANSIENT, Reason
from batchata.core.status import JobStatus

#: a later run does not ask again by itself what was paid for, or what a vendor refuses as it is
_SETTLED = PAID_FAILURES | {Reason.INVALID_REQUEST}
#: however old a batch is; a vendor's own pace may be slower
_LONGEST_POLL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Growing waits, in seconds, spread by up to a quarter so that callers do not march in step."""

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    factor: float = 2.0

    def wait_seconds(
        self, attempt: int, random: Callable[[], float], retry_after_seconds: float | None = None
    ) -> float:
        """Wait after the `attempt`-th try (from 1); what the vendor asks for is the least."""
        grown = self.first_seconds * self.factor ** min(attempt - 1, 30)
        wait = min(grown, self.most_seconds) * (0.75 + 0.5 * random())
        return max(wait, retry_after_seconds or 0.0)


def goes_again(
    reason: Reason, attempt: int, max_attempts: int, retry_on: frozenset[Reason] = frozenset()
) -> bool:
    """True when a job that failed so at its `attempt`-th try is sent once more."""
    return attempt < max_attempts and (reason in TRANSIENT or reason in retry_on)


def may_reopen(status: JobStatus, reason: Reason | None) -> bool:
    """True for a job that has ended and that a later run asks again by itself."""
    is_ended = status.is_final and status is not JobStatus.SUCCEEDED
    return is_ended and reason is not None and reason not in _SETTLED


def poll_wait_seconds(
    pace_seconds: float, age_seconds: float, random: Callable[[], float]
) -> float:
    """Wait before the next look at a batch: the vendor's pace, growing with age, jittered."""
    grown = max(pace_seconds, min(age_seconds * 0.1, _LONGEST_POLL_SECONDS))
    return grown * (0.9 + 0.2 * random())
