"""A hard limit on money: what is spent, what may be spent and what is reserved stay below it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from batchata.core.errors import StateError, ValidationError
from batchata.core.usage import from_parts, to_parts


class CostTracker:
    """Reserve before a call, settle after it; `spent + uncertain + reserved <= limit` always holds.

    Sums are kept as whole numbers of 1e-12 USD, so that they are exact.
    """

    def __init__(self, limit_usd: Decimal | float | None = None) -> None:
        self.limit: int | None = None
        self.spent = 0
        self.reserved = 0
        self.uncertain = 0  #: what calls and batches without an answer may have cost
        self.uncertain_calls = 0  #: how many answers that were
        self.set_limit(limit_usd)

    def set_limit(self, limit_usd: Decimal | float | None) -> None:
        """Set or lift the limit, in USD; what is spent already stays spent."""
        self.limit = None if limit_usd is None else to_parts(checked_usd(limit_usd))

    def fits(self, parts: int) -> bool:
        """True when `parts` (1e-12 USD) can be reserved now."""
        return (
            self.limit is None or self.spent + self.uncertain + self.reserved + parts <= self.limit
        )

    def reserve(self, parts: int) -> bool:
        """Set `parts` (1e-12 USD) aside, or return False and change nothing."""
        if not self.fits(parts):
            return False
        self.reserved += parts
        return True

    def settle(self, reserved: int, cost: int) -> None:
        """Turn a reservation into what the call really cost (both 1e-12 USD).

        Raises StateError when more is released than was reserved.
        """
        if reserved > self.reserved:
            raise StateError(f"{reserved} was released of {self.reserved} reserved (1e-12 USD)")
        self.reserved -= reserved
        self.spent += cost

    def release(self, reserved: int) -> None:
        """Give back a reservation that cost nothing (1e-12 USD)."""
        self.settle(reserved, 0)

    def doubt(self, parts: int) -> None:
        """Count a call whose answer was lost and which may have cost this much (1e-12 USD)."""
        self.uncertain += parts
        self.uncertain_calls += 1

    @property
    def used_usd(self) -> Decimal:
        """What was spent, in USD."""
        return from_parts(self.spent)

    @property
    def reserved_usd(self) -> Decimal:
        """What is set aside for work in flight, in USD."""
        return from_parts(self.reserved)

    @property
    def uncertain_usd(self) -> Decimal:
        """What calls and batches without an answer may have cost, in USD."""
        return from_parts(self.uncertain)

    @property
    def limit_usd(self) -> Decimal | None:
        """The limit in USD, None without one."""
        return None if self.limit is None else from_parts(self.limit)

    def remaining(self) -> Decimal | None:
        """What may still be reserved, in USD; None without a limit."""
        if self.limit is None:
            return None
        return from_parts(max(0, self.limit - self.spent - self.uncertain - self.reserved))

    def can_afford(self, cost_usd: Decimal | float) -> bool:
        """True when this much (USD) fits beside what is spent and reserved."""
        return self.fits(to_parts(checked_usd(cost_usd)))

    def track_spend(self, cost_usd: Decimal | float) -> None:
        """Count money that was spent without a reservation, in USD."""
        self.spent += to_parts(checked_usd(cost_usd))

    def reserve_cost(self, cost_usd: Decimal | float) -> bool:
        """Set this much (USD) aside, or return False."""
        return self.reserve(to_parts(checked_usd(cost_usd)))

    def adjust_reserved_cost(
        self, estimated_usd: Decimal | float, actual_usd: Decimal | float
    ) -> None:
        """Settle a reservation made with `reserve_cost`, both in USD."""
        self.settle(to_parts(checked_usd(estimated_usd)), to_parts(checked_usd(actual_usd)))

    def reset(self) -> None:
        """Forget what was spent and set aside; the limit stays."""
        self.spent = self.reserved = self.uncertain = self.uncertain_calls = 0

    def get_stats(self) -> dict[str, Any]:
        """Spent, reserved, limit and remaining, in USD."""
        return {
            "total_cost_usd": self.used_usd,
            "reserved_usd": self.reserved_usd,
            "possibly_billed": self.uncertain_calls,
            "possibly_billed_usd": self.uncertain_usd,
            "limit_usd": self.limit_usd,
            "remaining_usd": self.remaining(),
        }


def checked_usd(value: Decimal | float) -> Decimal:
    """`value` as Decimal USD; ValidationError unless it is a finite number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValidationError(f"{value!r} is not an amount of money", hint="write usd=5 or usd=0.5")
    usd = value if isinstance(value, Decimal) else Decimal(str(value))
    if not usd.is_finite() or usd < 0:
        raise ValidationError(f"{value!r} USD is not an amount", hint="amounts are zero or more")
    return usd
