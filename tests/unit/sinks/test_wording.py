"""Numbers as a person reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from batchata.sinks.wording import about, clock_time, compact, plural, tail, usd, usd_limit


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.00001", "<$0.0001"),
        ("0.0312", "$0.0312"),
        ("9.5", "$9.5000"),
        ("12.345", "$12.34"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_money_shows_the_digits_that_matter(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


@pytest.mark.parametrize(("amount", "text"), [("5", "$5.00"), ("0.125", "$0.1250")])
def test_a_limit_reads_as_it_was_written(amount: str, text: str) -> None:
    assert usd_limit(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (12_345, "12.3k"),
        (99_960, "100k"),
        (999_960, "1.0M"),
        (2_500_000_000, "2.5B"),
    ],
)
def test_large_counts_are_short(number: int, text: str) -> None:
    assert compact(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (12.9, "0:12"), (3723, "1:02:03"), (2 * 86_400 + 3 * 3600, "2d 03:00")],
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "about 5 s"),
        (41, "about 40 s"),
        (58, "about 1 min"),
        (720, "about 12 min"),
        (3599, "about 1 h"),
        (12_000, "about 3 h 20 min"),
        (86_399, "about 1 d"),
        (100_000, "about 1 d 4 h"),
    ],
)
def test_guesses_are_round(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_nouns_follow_their_number() -> None:
    assert [plural(1, "job"), plural(2, "job"), plural(2000, "batch")] == [
        "1 job",
        "2 jobs",
        "2,000 batches",
    ]


@pytest.mark.parametrize(("width", "text"), [(9, "batch_123"), (4, "…123"), (1, "b"), (0, "")])
def test_ids_keep_their_end(width: int, text: str) -> None:
    assert tail("batch_123", width) == text
