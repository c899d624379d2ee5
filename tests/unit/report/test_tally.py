from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata import JobResult, Reason
from batchata.core.state import RunState
from batchata.core.status import JobStatus
from batchata.report.tally import Tally, histogram

START = datetime(2026, 1, 1, tzinfo=UTC)


def result(job_id: str, model: str = "m", seconds: float = 1, cost: str = "0.5") -> JobResult:
    return JobResult(
        job_id,
        model=model,
        cost_usd=Decimal(cost),
        input_tokens=10,
        output_tokens=2,
        submitted_at=START,
        finished_at=START + timedelta(seconds=seconds),
    )


def test_adds_up_by_model_dearest_first() -> None:
    tally = Tally()
    for each in (result("a"), result("b", "big", cost="2"), result("c")):
        tally.add(each)

    found = tally.summary(RunState(), Decimal(5))

    assert found["models"] == [["big", 1, 2.0, 10, 2], ["m", 2, 1.0, 20, 4]]
    assert found["limit_usd"] == 5
    assert (found["began"], found["ended"]) == (
        "2026-01-01T00:00:00+00:00",
        "2026-01-01T00:00:01+00:00",
    )


def test_counts_reasons_and_what_failures_cost() -> None:
    tally = Tally()
    for number in range(3):
        tally.add(
            JobResult(
                str(number),
                error="no",
                status=JobStatus.FAILED,
                reason=Reason.REFUSED,
                cost_usd=Decimal("0.1"),
            )
        )

    found = tally.summary(RunState(), None)

    assert found["reasons"] == [("refused", 3)]
    assert found["failed_usd"] == pytest.approx(0.3)
    assert found["latency"] is None


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200))
def test_every_value_is_in_one_bar(values: list[float]) -> None:
    found = histogram(values)

    assert found is not None
    assert sum(found["counts"]) == len(values)
    assert 1 <= len(found["counts"]) <= 60
    assert min(values) <= found["median"] <= found["p95"] <= found["most"] == max(values)


def test_values_far_out_share_the_last_bar() -> None:
    found = histogram([*range(1, 100), 1_000_000])

    assert found is not None
    assert found["is_open"]
    assert found["counts"][-1] == 1
    assert found["start"] + found["step"] * len(found["counts"]) < 1_000


def test_equal_values_make_one_bar() -> None:
    found = histogram([3.0] * 5)

    assert found is not None
    assert found["counts"] == [5]
