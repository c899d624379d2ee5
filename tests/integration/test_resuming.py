"""The same script again: nothing that was answered is asked again, and the rest is finished."""

from __future__ import annotations

from decimal import Decimal

import pytest
from run_lab import CLAUDE, GPT, MODELS, Lab, all_of, cost_of

from batchata import Batch, BatchRun, Reason
from batchata.core.errors import JobChangedError, MissingKeyError
from batchata.gateway import Scenario

VENDORS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@VENDORS
def test_a_finished_script_run_again_asks_nothing(lab: Lab, model: str) -> None:
    first = lab.chat(12, model).run()
    requests = len(lab.box.requests)

    second = lab.chat(12, model).run()

    assert all_of(second) == all_of(first)
    assert len(lab.box.requests) == requests
    assert second.status()["cost_usd"] == lab.billed_usd


@VENDORS
def test_ids_made_from_the_content_meet_the_same_jobs(lab: Lab, model: str) -> None:
    def script() -> BatchRun:
        batch = lab.batch().set_default_params(model=model)
        return batch.add_jobs(["a", "b", "a"]).run()

    first, second = script(), script()

    assert all_of(second) == all_of(first)
    assert lab.ledger.billed_items == 3


@VENDORS
def test_ten_more_lines_run_just_those_ten(lab: Lab, model: str) -> None:
    lab.chat(15, model).run()

    run = lab.chat(25, model).run()

    assert run.status()["completed"] == 25
    assert lab.ledger.billed_items == 25
    assert set(lab.times_billed().values()) == {1}


def test_fewer_lines_answer_for_those_lines_only(lab: Lab) -> None:
    lab.chat(10).run()

    run = lab.chat(4).run()

    assert list(run.results()) == ["q0", "q1", "q2", "q3"]
    assert run.status()["total"] == 4


@VENDORS
def test_what_was_never_sent_is_not_sent_for_a_script_that_asks_it_no_more(
    lab: Lab, model: str
) -> None:
    keyless = Batch(lab.out).set_default_params(model=model)
    with pytest.raises(MissingKeyError):
        keyless.add_jobs(["an old question", "one that stays"]).run()

    run = lab.batch().set_default_params(model=model).add_jobs(["one that stays", "new"]).run()

    assert run.status()["completed"] == run.status()["total"] == 2
    assert lab.ledger.billed_items == 2
    assert run.status()["cost_usd"] == lab.billed_usd
    assert run.status()["reserved_usd"] == 0


def test_a_higher_cost_limit_continues_with_what_was_skipped(lab: Lab) -> None:
    estimate = lab.chat(20).estimate().worst_case_usd
    low = float(estimate / 4)
    first = lab.chat(20, items_per_batch=1).add_cost_limit(low).run()
    skipped = first.results().skipped

    second = lab.chat(20, items_per_batch=1).add_cost_limit(float(estimate)).run()

    assert skipped
    assert {result.reason for result in skipped} == {Reason.COST_LIMIT}
    assert "Cost limit exceeded" in (skipped[0].error or "")
    assert second.status()["completed"] == 20
    assert set(lab.times_billed().values()) == {1}
    assert second.status()["cost_usd"] == lab.billed_usd <= estimate


@pytest.mark.parametrize("parallel", [1, 10])
def test_jobs_wait_for_released_money_whatever_runs_in_parallel(lab: Lab, parallel: int) -> None:
    estimate = lab.chat(30).estimate().worst_case_usd
    limit = float(estimate * Decimal("0.7"))

    batch = lab.chat(30, items_per_batch=3, max_parallel_batches=parallel).add_cost_limit(limit)
    run = batch.run()

    assert run.status()["completed"] == 30
    assert lab.books[lab.state_file].spent <= limit * 10**12


def test_spending_counts_over_all_runs_of_a_state_file(lab: Lab) -> None:
    lab.chat(10).run()
    spent = lab.billed_usd

    run = lab.chat(20).add_cost_limit(float(spent)).run()

    assert (run.status()["completed"], run.status()["skipped"]) == (10, 10)
    assert lab.billed_usd == spent


def test_a_changed_question_under_the_same_id_is_an_error_before_anything_is_sent(
    lab: Lab,
) -> None:
    lab.batch().add_job(prompt="old", id="a", model=GPT).run()
    changed = lab.batch().add_job(prompt="extra", id="b", model=GPT)
    changed.add_job(prompt="new", id="a", model=GPT)

    with pytest.raises(JobChangedError, match="'a' is succeeded") as caught:
        changed.run()

    assert 'on_changed="keep"' in str(caught.value.hint)
    assert lab.ledger.billed_items == 1


def test_the_old_answer_of_a_changed_question_can_be_kept(lab: Lab) -> None:
    old = lab.batch().add_job(prompt="old", id="a", model=GPT).run().results()["a"]
    changed = lab.batch().add_job(prompt="new", id="a", model=GPT)

    run = changed.set_state(lab.state_file, on_changed="keep").run()

    assert run.results()["a"] == old
    assert lab.ledger.billed_items == 1


def test_without_reuse_the_old_state_is_kept_aside_and_all_is_asked_again(lab: Lab) -> None:
    lab.chat(3).run()

    run = lab.chat(3).set_state(lab.state_file, reuse_state=False).run()

    assert run.status()["completed"] == 3
    assert lab.ledger.billed_items == 6
    assert (lab.out / "state.db.1").exists()


def stopped(lab: Lab, batch: Batch, batches: int) -> BatchRun:
    """A run that was stopped with so many batches in flight, which have ended meanwhile."""
    lab.play(scenario=Scenario(latency_seconds=600))
    run = batch.start()
    while len(lab.ledger.batches) < batches:
        assert not run.wait(0.01), "the run ended before it had sent anything"
    run.stop()
    assert run.wait(60)
    lab.play(scenario=Scenario(clock_skew_seconds=601))
    return run


@VENDORS
def test_batches_in_flight_are_collected_by_the_next_run(lab: Lab, model: str) -> None:
    left = stopped(lab, lab.chat(20, model), batches=2).results().unfinished

    second = lab.chat(20, model).run()

    assert len(left) == 20
    assert {result.status for result in left} == {"submitted"}
    assert second.status()["completed"] == 20
    assert len(lab.ledger.batches) == 2


@VENDORS
def test_a_state_file_alone_is_enough_to_collect_and_to_send(lab: Lab, model: str) -> None:
    stopped(lab, lab.chat(20, model, max_parallel_batches=1), batches=1)
    config, providers = lab.batch().config, lab.batch().providers

    collected = BatchRun.attach(lab.state_file, config=config, providers=providers).execute()
    sent = BatchRun.attach(
        lab.state_file, config=config, providers=providers, send_pending=True
    ).execute()

    assert collected.status()["completed"] == 10
    assert len(sent.results()) == 20
    assert set(lab.times_billed().values()) == {1}


@pytest.mark.parametrize("prompt", ["question 0", "another question"])
def test_jobs_that_a_stopped_run_took_up_again_are_sent_without_the_script(
    lab: Lab, prompt: str
) -> None:
    def batch() -> Batch:
        return lab.batch().add_job(prompt=prompt, id="q0", model=GPT, max_tokens=60)

    lab.chat(1).add_cost_limit(1e-9).run()
    stopped = batch().start()
    stopped.stop()
    stopped.wait(60)
    left = [result.status for result in stopped.results().unfinished]

    run = BatchRun.attach(
        lab.state_file, config=stopped.config, providers=stopped._parts.settings, send_pending=True
    ).execute()

    assert left == ["pending"]
    assert run.status()["completed"] == 1
    assert lab.ledger.billed_items == 1


def test_failures_that_cost_nothing_are_tried_again_by_the_next_run(lab: Lab) -> None:
    lab.play("all-errors,item-invalid")
    first = lab.chat(40, CLAUDE).set_retries(max_attempts=1).run()
    reasons = {result.reason for result in first.results().failed}
    lab.play()

    second = lab.chat(40, CLAUDE).run()

    assert reasons == {Reason.SERVER_ERROR, Reason.INVALID_REQUEST}
    assert {result.reason for result in second.results().failed} == {Reason.INVALID_REQUEST}


def test_paid_failures_are_asked_again_only_on_request_and_both_answers_count(lab: Lab) -> None:
    lab.play("refusal")
    refused = lab.chat(40).run()
    plain = lab.chat(40).run()

    asked = lab.chat(40, results_dir=lab.folder / "b").set_retries(2, retry_on=["refused"]).run()

    failed = {result.job_id for result in refused.results().failed}
    assert failed
    assert {result.job_id for result in plain.results().failed} == failed
    again = all_of(asked)
    assert {job_id for job_id, result in again.items() if result.attempts == 2} == failed
    one, both = refused.results()[min(failed)].cost_usd, again[min(failed)].cost_usd
    assert both == 2 * one
    assert cost_of(again.values()) == asked.status()["cost_usd"]
