"""An answer that does not fit is asked for again with its errors, inside the budget."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from run_lab import CLAUDE, GPT, Lab, all_of, cost_of

from batchata import Batch, BatchRun
from batchata.core.errors import AccountStoppedError
from batchata.gateway import HttpFault, Scenario

AGAIN = "Your answer cannot be used"
GOOD = '{"name":"Ada","age":36}'
BAD = '{"name":"Ada","age":"young"}'
ROUTES = pytest.mark.parametrize("route", ["batch", "live"])


class Person(BaseModel):
    name: str
    age: int


def play(lab: Lab, second: str = GOOD, **scenario: Any) -> None:
    """The first answer never fits; the second is `second`."""
    lab.play(scenario=Scenario(replies={AGAIN: second, "who": BAD}, **scenario))


def people(
    lab: Lab, count: int = 2, model: str = GPT, results_dir: Any = "out", **retries: Any
) -> Batch:
    batch = lab.batch(results_dir).set_retries(
        settle_seconds=0.02, retry_on=["invalid_answer"], **retries
    )
    batch.set_default_params(model=model, max_tokens=60, response_model=Person)
    for number in range(count):
        batch.add_job(prompt=f"who is number {number}?", id=f"q{number}")
    return batch


def requests_of(lab: Lab) -> list[dict[str, Any]]:
    """Bodies that went out in batches, as the raw files have them, the first first."""
    found = []
    for path in (lab.out / "raw_files" / "requests").iterdir():
        data = path.read_bytes()
        whole = path.suffix == ".json"
        lines = orjson.loads(data)["requests"] if whole else map(orjson.loads, data.splitlines())
        found += [each.get("params") or each["body"] for each in lines]
    return sorted(found, key=lambda body: len(body["messages"]))


@ROUTES
@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_a_misfit_is_asked_again_and_both_answers_are_paid(
    lab: Lab, model: str, route: Any
) -> None:
    play(lab)

    run = people(lab, model=model).set_route(route).run()

    results = all_of(run)
    assert [each.parsed_response for each in results.values()] == [Person(name="Ada", age=36)] * 2
    assert [each.attempts for each in results.values()] == [2, 2]
    assert lab.ledger.billed_items + len(lab.ledger.live) == 4
    if route == "batch":
        assert cost_of(results.values()) == lab.billed_usd


def test_the_second_request_has_the_first_answer_and_what_was_wrong(lab: Lab) -> None:
    play(lab)

    people(lab, 1).run()

    first, second = requests_of(lab)
    assert second["messages"][: len(first["messages"])] == first["messages"]
    said, asked = second["messages"][len(first["messages"]) :]
    assert (said["role"], said["content"]) == ("assistant", BAD)
    assert "age" in asked["content"]
    assert {**first, "messages": []} == {**second, "messages": []}


@ROUTES
@pytest.mark.parametrize(("limits", "attempts"), [({}, 3), ({"max_reasks": 1}, 2)])
def test_a_job_that_never_fits_fails_with_its_last_answer(
    lab: Lab, route: Any, limits: dict[str, int], attempts: int
) -> None:
    play(lab, second='{"name":1}')

    (result,) = all_of(people(lab, 1, **limits).set_route(route).run()).values()

    assert (result.status, result.reason, result.attempts) == ("failed", "invalid_answer", attempts)
    assert result.raw_response == '{"name":1}'


def test_nothing_is_asked_again_without_a_word(lab: Lab) -> None:
    play(lab)
    batch = lab.batch().set_default_params(model=GPT, response_model=Person, max_tokens=60)

    (result,) = all_of(batch.add_job(prompt="who?").run()).values()

    assert (result.status, result.attempts, result.raw_response) == ("failed", 1, BAD)
    assert lab.ledger.billed_items == 1


@ROUTES
def test_a_second_question_beyond_the_limit_is_not_sent(lab: Lab, route: Any) -> None:
    play(lab)
    bound = people(lab, 1).set_route(route).estimate().worst_case_usd

    run = people(lab, 1).set_route(route).add_cost_limit(float(bound)).run()

    (result,) = all_of(run).values()
    assert (result.status, result.reason) == ("skipped", "cost_limit")
    assert result.raw_response == BAD
    assert "age" in (result.error or "")
    assert result.cost_usd == run.status()["cost_usd"] > 0
    assert lab.ledger.billed_items + len(lab.ledger.live) == 1


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    limit=st.floats(0.5, 6),
    answer=st.sampled_from([BAD, "no JSON", "é" * 300, '{"name":"Ada","age":[[]]}']),
    is_live=st.booleans(),
)
def test_the_limit_is_hard_however_long_the_refused_answers_are(
    lab: Lab, limit: float, answer: str, is_live: bool
) -> None:
    lab.box.reset()
    lab.play(scenario=Scenario(replies={AGAIN: answer, "who": answer}))
    lab.books.clear()
    state = lab.folder / f"{len(list(lab.folder.iterdir()))}.db"
    batch = people(lab, 3, results_dir=None).set_state(state)
    batch.set_route("live" if is_live else "batch").add_cost_limit(limit * 0.000_2)

    run = batch.run()  # the lab's books hold each commit against the limit and the reservations

    spent = run.status()["cost_usd"]
    assert spent <= limit * 0.000_2
    assert spent == cost_of(all_of(run).values())


@ROUTES
def test_a_resumed_run_asks_the_same_second_question(lab: Lab, route: Any) -> None:
    play(lab)
    people(lab, 1, results_dir=lab.folder / "whole").set_route(route).run()
    whole = contents(lab)
    lab.box.reset()
    interrupted(lab, route)
    play(lab)

    (result,) = all_of(people(lab, 1).set_route(route).run()).values()

    assert result.parsed_response == Person(name="Ada", age=36)
    assert result.attempts == 2
    assert contents(lab) == whole


def contents(lab: Lab) -> list[str]:
    """Digests of the questions that were answered, in order."""
    return [each.content for each in (*lab.ledger.items, *lab.ledger.live)]


def interrupted(lab: Lab, route: Any = "batch") -> None:
    """A run that ended after the first answer, before the second question."""
    door = "openai.batches.create" if route == "batch" else "openai.chat"
    play(lab, http=(HttpFault(action="status", status=401, route=door, skip=1),))
    with pytest.raises(AccountStoppedError):
        people(lab, 1).set_route(route).run()


def test_a_run_without_its_script_asks_with_the_errors_too(lab: Lab) -> None:
    interrupted(lab)
    play(lab)
    settings_ = people(lab, 0)

    run = BatchRun.attach(
        lab.state_file, config=settings_.config, providers=settings_.providers, send_pending=True
    )

    (result,) = all_of(run.execute()).values()
    assert result.parsed_response == {"name": "Ada", "age": 36}
    assert len(requests_of(lab)) == 2


def test_prices_of_another_day_bound_the_second_question(lab: Lab) -> None:
    interrupted(lab)
    dear = {GPT: {"input": 10_000, "output": 10_000}}

    run = people(lab, 1).set_prices(dear).add_cost_limit(0.001).run()

    (result,) = all_of(run).values()
    assert (result.status, result.raw_response) == ("skipped", BAD)
    assert lab.ledger.billed_items == 1


@pytest.mark.parametrize("crashes", [False, True])
def test_a_changed_question_forgets_the_refused_answer(lab: Lab, crashes: bool) -> None:
    interrupted(lab)
    fault = HttpFault(action="status", status=401, route="openai.batches.create")
    lab.play(
        scenario=Scenario(replies={AGAIN: BAD, "which": GOOD}, http=(fault,) if crashes else ())
    )
    batch = lab.batch().set_default_params(model=GPT, max_tokens=60, response_model=Person)
    batch.add_job(prompt="which number?", id="q0")
    if crashes:
        with pytest.raises(AccountStoppedError):
            batch.run()

    (result,) = all_of(batch.run()).values()

    assert result.parsed_response == Person(name="Ada", age=36)
