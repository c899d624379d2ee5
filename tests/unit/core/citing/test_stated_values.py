"""Whether quotes state their values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from batchata.core.citing import unstated


class Mood(Enum):
    GOOD = "good"


@pytest.mark.parametrize(
    ("value", "quote"),
    [
        (1234.5, "a total of $1,234.50"),
        (Decimal("1234.50"), "1.234,50 EUR"),
        (30, "within thirty days"),
        (0.917, "91.7% of them"),
        (1_200_000, "1.2 million"),
        (-500, "(500)"),
        (date(2024, 1, 5), "on 5 January 2024"),
        ("2024-01-05", "January 5, 2024"),
        ("a summary in other words", "The tenant shall repair the roof."),
        (Mood.GOOD, "They were delighted."),
        (True, "It is active."),
        (None, "nothing"),
    ],
)
def test_a_quote_that_says_the_value_in_any_form_states_it(value: Any, quote: str) -> None:
    assert unstated({"field": quote}, {"field": value}) == []


@pytest.mark.parametrize(
    ("value", "quote"),
    [
        (12.5, "Widgets cost 3.25"),
        (5, "in 2010"),
        (date(2024, 1, 5), "on 6 January 2024"),
        ("2024-01-05", "in January"),
        (7, "many"),
    ],
)
def test_a_number_or_date_that_is_not_in_its_quote_is_named(value: Any, quote: str) -> None:
    assert unstated({"items[0].field": quote}, {"items": [{"field": value}]}) == ["items[0].field"]


def test_fields_without_a_quote_are_not_looked_at() -> None:
    assert unstated({}, {"field": 3}) == []
