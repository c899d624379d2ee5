"""Jobs that ask the same are asked once, and every one of them has the answer."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from run_lab import GPT, MODELS, Lab, all_of

from batchata import Batch, Reason, StateManager
from batchata.gateway import ItemFault, Scenario
from batchata.run import BatchRun

ROUTES = pytest.mark.parametrize("route", ["live", "batch", "auto"])


class Person(BaseModel):
    """What some jobs ask for."""

    name: str
    age: int


def twins(lab: Lab, *questions: str, model: str = GPT, route: str = "live") -> Batch:
    """A job for each question, asked once where they are the same."""
    batch = lab.batch(dedupe=True).set_route(route).set_default_params(model=model, max_tokens=40)
    for number, question in enumerate(questions):
        batch.add_job(id=f"q{number}", prompt=question)
    return batch


def billed(lab: Lab) -> int:
    """Questions that the vendors were asked."""
    return lab.ledger.billed_items + len(lab.ledger.live)


def answers(run: BatchRun) -> dict[str, Any]:
    """What each job's answer is, and who was asked for it."""
    return {
        job_id: (each.response, (each.extra or {}).get("answered_by"))
        for job_id, each in all_of(run).items()
    }


@ROUTES
@pytest.mark.parametrize("model", MODELS.values())
def test_a_question_that_many_jobs_ask_is_asked_once(lab: Lab, model: str, route: str) -> None:
    run = twins(lab, "one", "two", "one", "one", "two", model=model, route=route).run()

    found = answers(run)
    assert billed(lab) == 2
    assert found["q2"] == (found["q0"][0], "q0")
    assert found["q4"] == (found["q1"][0], "q1")
    assert found["q0"][1] is None
    assert found["q0"][0] != found["q1"][0]


def test_what_it_cost_is_counted_once(lab: Lab) -> None:
    alone = twins(lab, "one").run()
    lab.box.reset()
    lab.state_file.unlink()
    run = twins(lab, "one", "one", "one").run()

    costs = [each.cost_usd for each in all_of(run).values()]
    assert costs == [run.status()["cost_usd"], Decimal(0), Decimal(0)]
    for name in ("cost_usd", "input_tokens", "output_tokens"):
        assert run.status()[name] == alone.status()[name] > 0
    assert [each.attempts for each in all_of(run).values()] == [1, 0, 0]


def test_without_it_every_job_is_asked(lab: Lab) -> None:
    batch = lab.batch().set_route("live")
    for number in range(3):
        batch.add_job(id=f"q{number}", prompt="one", model=GPT)
    batch.run()

    assert billed(lab) == 3


def test_jobs_that_differ_in_anything_that_is_sent_are_both_asked(lab: Lab) -> None:
    batch = lab.batch(dedupe=True).set_route("live").set_default_params(model=GPT)
    batch.add_job(id="a", prompt="one")
    batch.add_job(id="cap", prompt="one", max_tokens=40)
    batch.add_job(id="system", prompt="one", system="Be brief.")
    batch.add_job(id="schema", prompt="one", response_model=Person)
    batch.add_job(id="schema again", prompt="one", response_model=Person)
    batch.add_job(id="model", prompt="one", model="gpt-6-sol")

    results = batch.run().results()

    assert billed(lab) == 5
    assert isinstance(results["schema again"].parsed_response, Person)


def test_files_of_one_content_are_one_question(lab: Lab, tmp_path: Path) -> None:
    from batchata.documents.pdf import create_pdf

    (tmp_path / "a.pdf").write_bytes(create_pdf(["green"]))
    (tmp_path / "b.pdf").write_bytes(create_pdf(["red"]))
    batch = lab.batch(dedupe=True).set_route("live").set_default_params(model=GPT)
    for number, name in enumerate(("a.pdf", "b.pdf", "a.pdf")):
        batch.add_job(id=f"q{number}", prompt="What colour?", file=tmp_path / name)

    run = batch.run()

    assert run.status()["completed"] == 3
    assert billed(lab) == 2


@ROUTES
def test_who_waits_for_a_job_that_fails_fails_with_it_and_goes_again_with_it(
    lab: Lab, route: str
) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="server_error"),)))
    retried = twins(lab, "one", "one", route=route).set_retries(2, settle_seconds=0.02)
    failed = all_of(retried.run())
    lab.play()
    second = twins(lab, "one", "one", route=route).run()

    assert {each.reason for each in failed.values()} == {Reason.SERVER_ERROR}
    assert "asked as 'q0'" in (failed["q1"].error or "")
    assert second.status()["completed"] == 2
    assert billed(lab) == 1


def test_an_answer_that_was_paid_for_and_is_of_no_use_is_paid_for_once(lab: Lab) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="refusal"),)))

    results = all_of(twins(lab, "one", "one", "one").run())

    assert {each.reason for each in results.values()} == {Reason.REFUSED}
    assert billed(lab) == 1


def test_jobs_that_come_later_are_given_the_answer_that_is_there(lab: Lab) -> None:
    twins(lab, "one", "two").run()
    run = twins(lab, "one", "two", "two", "one", "three").run()

    found = answers(run)
    assert billed(lab) == 3
    assert (found["q2"][1], found["q3"][1], found["q4"][1]) == ("q1", "q0", None)
    assert found["q3"][0] == found["q0"][0]


def test_a_run_without_its_script_still_asks_once(lab: Lab) -> None:
    lab.play("insufficient-quota,bad-key")
    with pytest.raises(Exception, match="401"):
        twins(lab, "one", "one", "two", route="live").run()
    lab.play()

    reach = lab.connect(Batch()).set_polling(0.001)
    resumed = BatchRun.attach(
        lab.state_file, config=reach.config, providers=reach.providers, send_pending=True
    ).execute()

    assert resumed.status()["completed"] == 3
    assert billed(lab) == 2


def test_what_does_not_fit_the_limit_is_skipped_with_who_waits_for_it(lab: Lab) -> None:
    run = twins(lab, "one", "one").add_cost_limit(0.000_000_1).run()

    assert run.status()["skipped"] == 2
    assert StateManager(lab.state_file).load() is not None
