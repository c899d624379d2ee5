"""Tables for people: estimates and sums of results."""

from __future__ import annotations

import io
from decimal import Decimal

from rich.console import Console

from batchata.core.estimate import Estimate, ModelEstimate
from batchata.core.result import JobResult, Reason
from batchata.core.status import JobStatus
from batchata.sinks.summary import summarize
from batchata.sinks.tables import (
    prices_table,
    print_estimate,
    print_summary,
    results_table,
    size,
)


def page() -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, width=120, highlight=False), text


def model(name: str, jobs: int = 10, *, is_exact: bool = True) -> ModelEstimate:
    return ModelEstimate(
        provider="openai",
        model=name,
        jobs=jobs,
        chunks=2,
        size_bytes=12_345,
        expected_usd=Decimal("0.5"),
        worst_case_usd=Decimal(2),
        is_exact=is_exact,
    )


def failed(job_id: str, reason: Reason, error: str) -> JobResult:
    return JobResult(job_id, status=JobStatus.FAILED, reason=reason, error=error, model="m")


def test_an_estimate_has_a_row_a_model_and_a_sum() -> None:
    console, text = page()

    estimate = Estimate(models=(model("a"), model("b")), done=3, bad=(), limit_usd=Decimal(1))
    print_estimate(estimate, console)

    said = text.getvalue()
    assert [line.split()[0] for line in said.splitlines() if "$" in line][:3] == [
        "openai",
        "openai",
        "all",
    ]
    assert "$4.00" in said
    assert "12.3 kB" in said
    assert "3 jobs answered or in flight already" in said
    assert "The limit of $1.00 may be reached" in said


def test_an_estimate_says_what_is_not_certain_and_what_cannot_be_sent() -> None:
    console, text = page()
    bad = tuple(f"row {number} [has] no prompt" for number in range(7))

    print_estimate(
        Estimate(models=(model("a", is_exact=False),), done=0, bad=bad, limit_usd=None), console
    )

    said = text.getvalue()
    assert "≈ $2.00" in said
    assert "row 0 [has] no prompt" in said
    assert "and 2 more" in said


def test_an_estimate_tells_of_files_beside_the_requests() -> None:
    console, text = page()

    print_estimate(
        Estimate(
            models=(model("a"),),
            done=0,
            bad=(),
            limit_usd=None,
            uploads=3,
            upload_bytes=12_000_000,
        ),
        console,
    )

    assert "3 files uploaded beside the requests, 12.0 MB in all." in text.getvalue()


def test_an_empty_estimate_says_so() -> None:
    console, text = page()

    print_estimate(Estimate(models=(), done=5, bad=(), limit_usd=None), console)

    assert "Nothing would be sent." in text.getvalue()


def test_failures_are_counted_by_reason_the_most_frequent_first() -> None:
    console, text = page()
    results = [
        JobResult("a", raw_response="yes", model="m", provider="p", cost_usd=Decimal("0.25")),
        failed("b", Reason.REFUSED, "no"),
        failed("c", Reason.INVALID_REQUEST, "bad"),
        failed("d", Reason.INVALID_REQUEST, "worse"),
    ]

    print_summary(summarize(results), console, has_samples=True)

    said = text.getvalue()
    assert said.index("invalid_request") < said.index("refused")
    assert "bad" in said
    assert "worse" not in said
    assert "yes" in said


def test_answers_fit_on_one_line_whatever_they_hold() -> None:
    console, text = page()
    answers = [
        JobResult("a", raw_response="two\nlines [bold]and[/bold] markup", model="m"),
        JobResult("b", parsed_response={"mood": "good"}, raw_response="{}", model="m"),
        JobResult("c", extra={"embedding": [0.1]}, model="m"),
    ]

    console.print(results_table(answers))

    said = text.getvalue()
    assert "two lines [bold]and[/bold] markup" in said
    assert "mood: good" in said
    assert "(embedding)" in said


def test_sizes_are_short() -> None:
    assert [size(each) for each in (12, 1_500, 2_000_000, 3_400_000_000_000)] == [
        "12 B",
        "1.5 kB",
        "2.0 MB",
        "3400.0 GB",
    ]


def test_no_price_is_cut_in_a_narrow_terminal() -> None:
    text = io.StringIO()
    prices = {"input": 12.5, "output": 62.5, "cache_read": 1.25}
    batch = {"batch_input": 6.25, "batch_output": 31.25}
    row = {"provider": "openrouter", "model": "anthropic/claude-haiku-5-5:batch", **prices, **batch}

    Console(file=text, width=60).print(prices_table([row]))

    said = text.getvalue()
    assert "…" not in said
    for value in (12.5, 62.5, 1.25, 6.25, 31.25):
        assert f" {value}" in said
