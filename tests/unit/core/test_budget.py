"""Money under a hard limit, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from batchata import CostTracker
from batchata.core.errors import StateError, ValidationError
from batchata.core.usage import from_parts


def test_no_more_is_reserved_than_the_limit_leaves() -> None:
    tracker = CostTracker(limit_usd=1)

    assert tracker.reserve_cost(0.6)
    assert not tracker.reserve_cost(0.5)
    assert tracker.reserve_cost(0.4)
    assert not tracker.can_afford(Decimal("1e-12"))
    assert tracker.reserved_usd == 1


@pytest.mark.parametrize("count", ["spent", "reserved", "uncertain"])
def test_whatever_may_have_been_spent_counts_against_the_limit(count: str) -> None:
    tracker = CostTracker(limit_usd=Decimal("0.3"))
    setattr(tracker, count, 200_000_000_000)

    assert tracker.can_afford(0.1)
    assert not tracker.can_afford(0.11)
    assert tracker.remaining() == Decimal("0.1")


def test_a_reservation_becomes_what_the_call_cost() -> None:
    tracker = CostTracker(limit_usd=1)
    tracker.reserve_cost(0.5)

    tracker.adjust_reserved_cost(0.5, 0.2)

    assert (tracker.used_usd, tracker.reserved_usd) == (Decimal("0.2"), 0)
    assert tracker.remaining() == Decimal("0.8")


def test_what_was_spent_without_a_reservation_counts_even_over_the_limit() -> None:
    tracker = CostTracker(limit_usd=1)

    tracker.track_spend(1.5)

    assert tracker.used_usd == Decimal("1.5")
    assert tracker.remaining() == 0
    assert not tracker.can_afford(0.01)


def test_more_than_was_reserved_is_never_released() -> None:
    tracker = CostTracker()
    tracker.reserve_cost(0.1)

    with pytest.raises(StateError, match="was released of"):
        tracker.adjust_reserved_cost(0.2, 0)
    assert tracker.reserved_usd == Decimal("0.1")


def test_many_small_amounts_add_up_exactly() -> None:
    tracker = CostTracker()

    for _ in range(1000):
        tracker.track_spend(0.001)

    assert tracker.used_usd == 1


def test_without_a_limit_everything_fits() -> None:
    tracker = CostTracker()

    assert tracker.reserve_cost(10**9)
    assert tracker.remaining() is None
    assert tracker.get_stats()["limit_usd"] is None


def test_the_numbers_of_a_tracker_are_in_dollars() -> None:
    tracker = CostTracker(limit_usd=5)
    tracker.track_spend(1)
    tracker.reserve_cost(2)
    tracker.doubt(500_000_000_000)

    assert tracker.get_stats() == {
        "total_cost_usd": 1,
        "reserved_usd": 2,
        "possibly_billed": 1,
        "possibly_billed_usd": Decimal("0.5"),
        "limit_usd": 5,
        "remaining_usd": Decimal("1.5"),
    }


def test_a_reset_forgets_all_but_the_limit() -> None:
    tracker = CostTracker(limit_usd=5)
    tracker.track_spend(1)
    tracker.reserve_cost(2)
    tracker.doubt(1)

    tracker.reset()

    assert tracker.get_stats() == CostTracker(limit_usd=5).get_stats()


@pytest.mark.parametrize("amount", [-0.01, float("nan"), float("inf"), True, "5", None])
def test_what_is_no_amount_of_money_is_refused(amount: Any) -> None:
    tracker = CostTracker(limit_usd=1)

    for ask in (tracker.can_afford, tracker.track_spend, tracker.reserve_cost):
        with pytest.raises(ValidationError, match="amount"):
            ask(amount)
    assert tracker.remaining() == 1


@pytest.mark.parametrize(
    ("parts", "text"), [(0, "0"), (37_850_000, "0.00003785"), (100 * 10**12, "100")]
)
def test_money_is_printed_without_zeros_at_its_end(parts: int, text: str) -> None:
    assert str(from_parts(parts)) == text
