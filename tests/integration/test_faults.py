"""Every named fault of the sandbox: nothing is lost, asked twice, or over the limit."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from fault_cases import ENDLESS, NAMES, SPECIAL, Case, case_of
from run_lab import MODELS, Lab, all_of, cost_of

from batchata import Batch, BatchRun, JobResult
from batchata.core.errors import AccountStoppedError
from batchata.gateway import FAULTS

VENDORS = ("openai", "anthropic")


def script(lab: Lab, vendor: str, case: Case) -> Batch:
    """The batch that every fault strikes: at OpenAI, every other job is a response."""
    batch = lab.batch(items_per_batch=case.items_per_batch).set_polling(0.0005)
    lab.connect(batch, timeout_seconds=case.timeout_seconds)
    batch.set_retries(settle_seconds=case.settle_seconds).add_cost_limit(2)
    batch.set_default_params(model=MODELS[vendor], max_tokens=60)
    for number in range(case.jobs):
        extra = {"endpoint": "responses"} if vendor == "openai" and number % 2 else {}
        batch.add_job(prompt=f"question {number} " * case.words, id=f"q{number}", **extra)
    return batch


def ended(run: BatchRun) -> type[Exception] | None:
    """Wait for the end; the kind of error it came with."""
    try:
        assert run.wait(timeout=60), "the run does not end"
    except AccountStoppedError as error:
        return type(error)
    return None


def times_billed(lab: Lab) -> Counter[str]:
    """How often each job was billed."""
    return Counter(item.custom_id.rpartition("_")[2] for item in lab.ledger.items)


def check_books(lab: Lab, run: BatchRun, case: Case, results: dict[str, JobResult]) -> None:
    """What the run says it cost is what the vendor bills, or more where the vendor hid it."""
    books, spent = lab.books[lab.state_file], run.status()["cost_usd"]
    assert spent == cost_of(results.values()) == Decimal(books.spent).scaleb(-12)
    if case.is_bound:
        assert lab.billed_usd < spent
    else:
        assert lab.billed_usd == spent
    assert books.reserved == 0
    for job_id, times in times_billed(lab).items():
        assert times <= (results[job_id].attempts if case.is_billed_again else 1)


def check_results(results: dict[str, JobResult], case: Case) -> None:
    """Every job once, with a status, and a reason where it did not succeed."""
    failures = [result for result in results.values() if not result.is_success]
    unfinished = {None} if case.stops else set()
    assert sorted(results) == sorted(f"q{number}" for number in range(case.jobs))
    assert {result.reason for result in failures} == case.reasons | unfinished
    assert all(result.error and result.status != "succeeded" for result in failures)
    assert all(result.status.is_final for result in results.values()) is not case.stops


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("name", NAMES)
def test_a_run_outlives_the_fault_with_every_job_and_every_cent_and_asks_no_answer_twice(
    lab: Lab, name: str, vendor: str
) -> None:
    case = case_of(name, vendor)
    lab.play(f"{name},{case.also}", case.scenario)

    first = script(lab, vendor, case).start()
    error = ended(first)
    before = all_of(first)
    lab.play()
    second = script(lab, vendor, case).run()

    assert error is (AccountStoppedError if case.stops else None)
    check_results(before, case)
    answered = [job_id for job_id, result in before.items() if result.is_success]
    after = all_of(second)
    assert [after[job_id] for job_id in answered] == [before[job_id] for job_id in answered]
    check_books(lab, second, case, after)


def test_every_named_fault_has_its_test() -> None:
    special = {name.partition("/")[0] for name in SPECIAL}

    assert set(NAMES) | ENDLESS == set(FAULTS)
    assert special <= set(NAMES)
