"""Percentiles of many calls in little memory."""

from __future__ import annotations

import pytest

from batchata.core.latencies import Latencies


def test_percentiles_are_exact_to_five_percent() -> None:
    calls = Latencies()

    for number in range(1, 1001):
        calls.add(number / 100)

    assert calls.percentile(0.5) == pytest.approx(5.0, rel=0.05)
    assert calls.percentile(0.99) == pytest.approx(9.9, rel=0.05)
    assert len(calls) == 1000


def test_no_calls_have_no_percentile() -> None:
    assert Latencies().percentile(0.5) is None


def test_counts_of_two_processes_add_up() -> None:
    one, two = Latencies(), Latencies()
    one.add(0.1)
    two.add(10.0)

    one.merge(Latencies(two.to_dict()))

    assert len(one) == 2
    assert one.percentile(1.0) == pytest.approx(10.0, rel=0.05)
