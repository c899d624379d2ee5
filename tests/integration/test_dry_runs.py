"""What a run would be and cost, told without sending or writing anything."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from run_lab import CLAUDE, GPT, Lab

from batchata import Batch
from batchata.core.errors import DuplicateJobError, UnknownPriceError
from batchata.gateway import ItemFault, Scenario


def test_a_dry_run_writes_nothing_sends_nothing_and_prints_a_table(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lab.chat(25).run(dry_run=True)

    assert run.estimate is not None
    assert (run.estimate.jobs, run.estimate.chunks) == (25, 3)
    assert lab.box.requests == []
    assert list(lab.folder.iterdir()) == []
    assert GPT in capsys.readouterr().out


def test_an_estimate_prints_nothing_either(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    estimate = lab.chat(25).estimate()

    assert estimate.jobs == 25
    assert list(lab.folder.iterdir()) == []
    assert lab.box.requests == []
    assert capsys.readouterr().out == ""


def test_an_estimate_is_by_model_and_in_all(lab: Lab) -> None:
    batch = lab.chat(10)
    for number in range(4):
        batch.add_job(prompt=f"claude {number}", model=CLAUDE)

    estimate = batch.add_cost_limit(7).estimate()

    assert [(each.model, each.jobs, each.chunks) for each in estimate.models] == [
        (GPT, 10, 1),
        (CLAUDE, 4, 1),
    ]
    assert estimate.worst_case_usd == sum(each.worst_case_usd for each in estimate.models)
    assert 0 < estimate.expected_usd < estimate.worst_case_usd
    assert estimate.limit_usd == Decimal(7)
    assert estimate.to_dict()["models"][1]["model"] == CLAUDE


def test_the_bill_is_never_above_the_worst_case(lab: Lab) -> None:
    batch = lab.chat(30)

    worst = batch.estimate().worst_case_usd
    batch.run()

    assert lab.billed_usd <= worst


def test_an_estimate_leaves_out_what_the_state_file_has_answers_for(lab: Lab) -> None:
    lab.chat(10).run()
    before = {path: path.stat().st_mtime_ns for path in lab.out.rglob("*")}

    estimate = lab.chat(15).estimate()

    assert (estimate.jobs, estimate.done) == (5, 10)
    assert {path: path.stat().st_mtime_ns for path in lab.out.rglob("*")} == before


def test_an_estimate_names_the_jobs_that_cannot_be_sent(lab: Lab, tmp_path: Path) -> None:
    batch = lab.chat(3).add_job(file=tmp_path / "missing.txt", prompt="read it", model=GPT)

    estimate = batch.estimate()

    assert estimate.jobs == 3
    assert len(estimate.bad) == 1
    assert "missing.txt" in estimate.bad[0]


def test_a_batch_runs_after_its_estimate(lab: Lab) -> None:
    batch = lab.chat(5)

    batch.estimate()
    run = batch.run()

    assert run.status()["completed"] == 5


@pytest.mark.parametrize("route", ["batch", "live", "auto"])
def test_a_model_without_a_price_is_an_error_that_names_the_fix(lab: Lab, route: Any) -> None:
    batch = lab.chat(2).add_job(prompt="q", model="openai:gpt-99-nova").set_route(route)

    for look in (batch.estimate, batch.run):
        with pytest.raises(UnknownPriceError, match="gpt-99-nova") as caught:
            look()
        assert "set_prices" in str(caught.value.hint)

    assert lab.ledger.batches == []


def test_what_ends_a_run_before_it_sends_ends_its_estimate_too(lab: Lab) -> None:
    def twice() -> Batch:
        jobs = ({"prompt": f"q{number}", "id": "a", "model": GPT} for number in range(2))
        return lab.batch().add_jobs(jobs)

    for look in (twice().estimate, twice().run):
        with pytest.raises(DuplicateJobError):
            look()


def test_an_estimate_leaves_out_failures_that_a_run_would_not_ask_again(lab: Lab) -> None:
    lab.box.set_scenario(Scenario(items=(ItemFault(outcome="truncated", share=1.0),)))
    lab.chat(4).run()
    lab.box.reset()

    estimate = lab.chat(4).estimate()
    lab.chat(4).run()

    assert (estimate.jobs, estimate.done) == (0, 4)
    assert lab.ledger.batches == []


def test_jobs_that_ask_the_same_are_estimated_once_where_they_are_asked_once(lab: Lab) -> None:
    def twins(*, dedupe: bool) -> Batch:
        batch = lab.batch(dedupe=dedupe).set_default_params(model=GPT, max_tokens=50)
        return batch.add_jobs(["who?", "what?", "who?"])

    once, thrice = twins(dedupe=True).estimate(), twins(dedupe=False).estimate()
    run = twins(dedupe=True).run()
    after = twins(dedupe=True).estimate()

    assert (once.jobs, once.shared) == (2, 1)
    assert (thrice.jobs, thrice.shared) == (3, 0)
    assert (after.jobs, after.done, after.shared) == (0, 3, 0)
    assert run.status()["completed"] == 3
    assert len(lab.ledger.items) == once.jobs


def test_a_dearer_tier_that_batches_do_not_know_is_not_estimated_for_them(lab: Lab) -> None:
    def asking(**params: Any) -> Batch:
        batch = lab.batch().set_default_params(model=GPT, max_tokens=5_000, **params)
        return batch.add_jobs(["who?", "what?"])

    plain = asking().estimate().worst_case_usd
    hurried = asking(service_tier="priority").estimate().worst_case_usd
    live = asking(service_tier="priority").set_route("live").estimate().worst_case_usd

    assert plain <= hurried < plain * Decimal("1.1")
    assert live > plain * 3


@pytest.mark.parametrize("route", ["live", "background"])
def test_a_live_estimate_is_at_live_prices_and_counts_no_batches(lab: Lab, route: Any) -> None:
    def asking() -> Batch:
        batch = lab.batch().set_default_params(model=GPT, max_tokens=60, endpoint="responses")
        return batch.add_jobs([f"question {number}" for number in range(5)])

    batched = asking().estimate()
    live = asking().set_route(route).estimate()

    assert (batched.chunks, live.chunks) == (1, 0)
    assert live.expected_usd == 2 * batched.expected_usd


def test_a_users_own_price_counts_in_estimate_and_bill(lab: Lab) -> None:
    batch = lab.batch().add_job(prompt="q", id="a", model="openai:gpt-99-nova", max_tokens=50)
    batch.set_prices({"gpt-99-nova": {"input": 1_000, "output": 2_000}})

    estimate, run = batch.estimate(), batch.run()

    result = run.results()["a"]
    expected = Decimal(result.input_tokens * 1_000 + result.output_tokens * 2_000) / 1_000_000
    assert result.cost_usd == expected
    assert result.cost_usd <= estimate.worst_case_usd


def test_a_model_without_a_price_can_be_counted_as_free(lab: Lab) -> None:
    batch = lab.batch().add_job(prompt="q", model="openai:gpt-99-nova")

    run = batch.set_prices(allow_unpriced=True).run()

    assert run.status()["completed"] == 1
    assert run.status()["cost_usd"] == 0
