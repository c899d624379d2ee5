"""The totals of a run: counts, money, tokens and times, added up result by result. Pure."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from batchata.core.result import JobResult
from batchata.core.state import RunState
from batchata.core.status import STATUSES
from batchata.report.rows import seconds_of

_MOST_BARS: Final = 24
_STEPS: Final = (1, 2, 5)


@dataclass(slots=True)
class ModelTally:
    """The totals of one model."""

    jobs: int = 0
    cost_usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(slots=True)
class Tally:
    """Totals over all results of a run; it holds eight bytes per job, however large the answers."""

    models: dict[str, ModelTally] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    failed_usd: Decimal = Decimal(0)  #: paid for unusable answers
    cached_tokens: int = 0
    first: datetime | None = None
    last: datetime | None = None
    seconds: array[float] = field(default_factory=lambda: array("d"))

    def add(self, result: JobResult) -> None:
        """Count one result."""
        model = self.models.setdefault(result.model, ModelTally())
        model.jobs += 1
        model.cost_usd += result.cost_usd
        model.input_tokens += result.input_tokens
        model.output_tokens += result.output_tokens
        self.cached_tokens += result.cache_read_tokens
        if result.reason is not None and not result.is_success:
            self.reasons[result.reason.value] += 1
        if not result.is_success:
            self.failed_usd += result.cost_usd
        self._time(result)

    def _time(self, result: JobResult) -> None:
        began, ended, took = result.submitted_at, result.finished_at, seconds_of(result)
        if took is not None:
            self.seconds.append(took)
        if began is not None and (self.first is None or began < self.first):
            self.first = began
        if ended is not None and (self.last is None or ended > self.last):
            self.last = ended

    def summary(self, state: RunState, limit_usd: Decimal | None) -> dict[str, Any]:
        """All totals as JSON-ready values."""
        counts = Counter(state.status)
        by_cost = sorted(self.models.items(), key=lambda item: (-item[1].cost_usd, item[0]))
        cost = state.cost
        known = sum((each.cost_usd for each in self.models.values()), Decimal(0))
        return {
            "jobs": len(state),
            "statuses": [[each.value, counts[code]] for code, each in enumerate(STATUSES)],
            "spent_usd": float(cost.used_usd),
            "limit_usd": None if limit_usd is None else float(limit_usd),
            "reserved_usd": float(cost.reserved_usd),
            "possibly_billed": cost.uncertain_calls,
            "possibly_billed_usd": float(cost.uncertain_usd),
            "failed_usd": float(self.failed_usd),
            "elsewhere_usd": float(max(Decimal(0), cost.used_usd - known)),
            "input_tokens": state.usage.input_tokens,
            "output_tokens": state.usage.output_tokens,
            "cached_tokens": self.cached_tokens,
            "batches": state.batches,
            "models": [
                [name, each.jobs, float(each.cost_usd), each.input_tokens, each.output_tokens]
                for name, each in by_cost
            ],
            "reasons": self.reasons.most_common(),
            "began": self.first.isoformat() if self.first else None,
            "ended": self.last.isoformat() if self.last else None,
            "latency": histogram(self.seconds),
        }


def histogram(values: Sequence[float]) -> dict[str, Any] | None:
    """How many values fall into each of equal steps, with median and 95th percentile.

    If a few values are far out, the last bar holds all of them. None without values.
    """
    if not values:
        return None
    ordered = sorted(values)
    least, most = ordered[0], ordered[-1]
    p95 = _quantile(ordered, 0.95)
    top = most if most <= 4 * p95 else 2 * p95
    # a spread too small for any clock is one bar
    is_spread = top - least > max(1e-6, top * 1e-9)
    step = _step((top - least) / _MOST_BARS) if is_spread else max(top, 1.0)
    start = math.floor(least / step) * step
    bars = max(1, math.ceil((top - start) / step + 1e-9))
    counts = [0] * bars
    for value in ordered:
        counts[min(bars - 1, int((value - start) / step))] += 1
    return {
        "start": start,
        "step": step,
        "counts": counts,
        "is_open": most > start + bars * step,
        "median": _quantile(ordered, 0.5),
        "p95": p95,
        "most": most,
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def _step(least: float) -> float:
    """The first of 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in _STEPS if step * power >= least), 10 * power)
