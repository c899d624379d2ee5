"""Jobs a second and tokens a minute."""

from __future__ import annotations

import pytest

from batchata.core.speed import Speed


def test_the_speed_is_that_of_the_last_ten_seconds() -> None:
    speed = Speed(0.0, 0, 0)

    for second in range(1, 21):
        jobs = 100 * second if second <= 10 else 1000 + 5 * (second - 10)
        now = speed.read(float(second), jobs, 10 * jobs)

    assert now == (pytest.approx(5.0), pytest.approx(3000.0))


def test_what_was_there_before_is_not_counted() -> None:
    speed = Speed(50.0, 1000, 9000)

    assert speed.read(52.0, 1010, 9100) == (5.0, 3000.0)


def test_a_first_look_says_nothing() -> None:
    assert Speed(1.0, 5, 5).read(1.0, 5, 5) == (0.0, 0.0)


def test_a_thousand_looks_a_second_are_read_as_one() -> None:
    speed = Speed(0.0, 0, 0)

    for look in range(1, 30_001):
        jobs, _ = speed.read(look / 1000, look, 0)

    assert jobs == pytest.approx(1000, rel=0.01)
    assert len(speed._seen) < 60
