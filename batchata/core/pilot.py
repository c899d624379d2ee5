"""A small sample before a large run: what it tells of failures and of the bill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from batchata.core.usage import from_parts

#: two-sided 95 %
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotSize:
    """How many jobs go ahead of the others: a share of all, or a number."""

    share: float | None = None
    jobs: int | None = None

    def of(self, total: int) -> int:
        """Jobs of the sample, at least one and at most all."""
        asked = self.jobs if self.jobs is not None else math.ceil(total * (self.share or 0))
        return max(1, min(asked, total))


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotReport:
    """What a sample showed; costs in USD, each `±` half of a 95 % interval."""

    jobs: int
    failed: int
    reasons: dict[str, int]
    cost_usd: Decimal
    #: what the jobs that are left will probably cost on their route
    expected_usd: Decimal
    expected_plus_minus_usd: Decimal
    left: int  #: jobs that are not sent yet
    answers: tuple[str, ...]  #: a few, as they came

    @property
    def failure_rate(self) -> float:
        """Share of the sample that failed."""
        return self.failed / self.jobs if self.jobs else 0.0

    @property
    def failure_rate_plus_minus(self) -> float:
        """Half of the 95 % interval of the failure rate, by Wilson's score."""
        n, p = self.jobs, self.failure_rate
        if not n:
            return 1.0
        spread = math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
        return _Z * spread / (1 + _Z**2 / n)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return {
            "jobs": self.jobs,
            "failed": self.failed,
            "failure_rate": self.failure_rate,
            "failure_rate_plus_minus": self.failure_rate_plus_minus,
            "reasons": self.reasons,
            "cost_usd": float(self.cost_usd),
            "left": self.left,
            "expected_usd": float(self.expected_usd),
            "expected_plus_minus_usd": float(self.expected_plus_minus_usd),
            "answers": list(self.answers),
        }


Decide = Callable[[PilotReport], bool]


def report(
    *,
    cost: int,
    costs: Sequence[int],
    left: int,
    failed: int,
    reasons: dict[str, int],
    answers: Sequence[str],
) -> PilotReport:
    """A report from what the sample cost in all (1e-12 USD).

    `costs` are what each of its jobs would have cost on the way the others go.
    """
    n = len(costs)
    mean = sum(costs) / n if n else 0.0
    variance = sum((cost - mean) ** 2 for cost in costs) / (n - 1) if n > 1 else mean**2
    expected = mean * left
    error = _Z * math.sqrt(variance / n) * left if n else 0.0
    return PilotReport(
        jobs=n,
        failed=failed,
        reasons=reasons,
        cost_usd=from_parts(cost),
        expected_usd=from_parts(round(expected)),
        expected_plus_minus_usd=from_parts(round(error)),
        left=left,
        answers=tuple(answers),
    )
