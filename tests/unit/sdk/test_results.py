"""Rows and tables made of results."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from batchata import Citation, Job, JobResult, JobStatus, Reason, ValidationError
from batchata.core.errors import ResultsError
from batchata.sdk.results import flat_row


class Person(BaseModel):
    """An answer's form."""

    name: str
    age: int


NOW = datetime(2026, 11, 21, 12, 30, 15, 123456, tzinfo=UTC)
FULL = JobResult(
    job_id="a",
    raw_response='{"name":"Ada","age":36}',
    parsed_response=Person(name="Ada", age=36),
    citations=[Citation("words", "a.pdf", page=3, start=1, end=4)],
    citation_mappings={"name": [Citation("words", "a.pdf", confidence="high")]},
    input_tokens=10,
    output_tokens=4,
    cost_usd=Decimal("0.000001234567"),
    batch_id="batch_1",
    model="m",
    provider="openai",
    finish_reason="stop",
    request_id="req_1",
    attempts=2,
    submitted_at=NOW,
    finished_at=NOW,
    metadata={"row": 17, "model": "mine"},
    cache_read_tokens=1,
    cache_write_tokens=2,
    reasoning_tokens=3,
    thinking="hm",
    extra={"tool_calls": []},
)
FAILED = JobResult(
    job_id="b", error="no", status=JobStatus.FAILED, reason=Reason.REFUSED, attempts=1
)


@pytest.mark.parametrize("result", [FULL, FAILED, JobResult("c")], ids=["full", "failed", "bare"])
def test_a_result_survives_a_round_trip_through_plain_values(result: JobResult) -> None:
    model = Person if result is FULL else None

    assert JobResult.from_dict(result.to_dict(), model) == result


def test_without_its_model_a_parsed_answer_comes_back_as_a_mapping() -> None:
    found = JobResult.from_dict(FULL.to_dict())

    assert found.parsed_response == {"name": "Ada", "age": 36}


def test_files_of_earlier_versions_are_read() -> None:
    old = {"job_id": "a", "raw_response": "hi", "cost_usd": 0.5, "error": None, "strange": 1}
    failed = {"job_id": "b", "raw_response": None, "error": "Cost limit exceeded"}

    good, bad = JobResult.from_dict(old), JobResult.from_dict(failed)

    assert (good.response, good.cost_usd, good.status) == ("hi", Decimal("0.5"), "succeeded")
    assert (bad.is_success, bad.status) == (False, "failed")


def test_what_a_result_tells_of_itself() -> None:
    assert FULL.is_success
    assert not FAILED.is_success
    assert FULL.total_tokens == 14
    assert FULL.usage.reasoning_tokens == 3
    assert JobResult("a", finish_reason="length").is_truncated


def test_a_row_has_a_column_for_each_field_of_answer_and_metadata() -> None:
    row = flat_row(FULL)

    assert (row["name"], row["age"], row["row"]) == ("Ada", 36, 17)
    assert (row["model"], row["metadata_model"]) == ("m", "mine")
    assert row["cost_usd"] == pytest.approx(0.000001234567)
    assert "parsed_response" not in row


@pytest.mark.parametrize("parsed", [[1, 2], None])
def test_an_answer_without_fields_stays_one_column(parsed: Any) -> None:
    row = flat_row(JobResult("a", parsed_response=parsed))

    assert row.get("parsed_response") == parsed


def test_a_table_without_pandas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from batchata.sdk.results import to_frame

    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ResultsError, match="pandas") as caught:
        to_frame([])  # type: ignore[arg-type]

    assert "pip install" in str(caught.value.hint)


@pytest.mark.parametrize(
    "data",
    [{}, 5, None, {"job_id": "a", "status": "odd"}, {"job_id": "a", "cost_usd": "much"}],
)
def test_what_is_no_result_is_refused_with_what_it_is(data: Any) -> None:
    with pytest.raises(ValidationError, match="is not a result") as caught:
        JobResult.from_dict(data)

    assert "to_dict" in str(caught.value.hint)


@pytest.mark.parametrize("data", [{}, 5, {"id": "a"}, {"id": "a", "model": 5, "prompt": "q"}])
def test_what_is_no_job_is_refused(data: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Job.from_dict(data)

    assert caught.value.hint
