"""Results that vendors delete, keys that are withdrawn while a batch runs."""

from __future__ import annotations

import pytest
from run_lab import CLAUDE, GPT, Lab

from batchata import BatchRun, Reason
from batchata.core.errors import AccountStoppedError
from batchata.gateway import HttpFault, Scenario

RESULTS = {GPT: "openai.files.content", CLAUDE: "anthropic.batches.results"}
LOOKS = {GPT: "openai.batches.retrieve", CLAUDE: "anthropic.batches.retrieve"}
VENDORS = pytest.mark.parametrize("model", RESULTS, ids=["openai", "anthropic"])


def refuse(lab: Lab, route: str, status: int) -> None:
    """Every call of a route is answered with this status."""
    lab.play(
        scenario=Scenario(
            http=(HttpFault(action="status", route=route, status=status, times=None),)
        )
    )


@VENDORS
@pytest.mark.parametrize("status", [404, 410])
def test_deleted_results_end_their_jobs_and_only_the_user_asks_again(
    lab: Lab, model: str, status: int
) -> None:
    refuse(lab, RESULTS[model], status)

    first = lab.chat(6, model).set_polling(0.0002).run()
    failed, bill = first.results().failed, lab.billed_usd
    lab.play()
    again = lab.chat(6, model).run()
    batches = len(lab.ledger.batches)
    asked = BatchRun.attach(lab.state_file, config=first.config, providers=again._parts.settings)
    retried = asked.retry_failed()

    assert len(failed) == 6
    assert {result.reason for result in failed} == {Reason.RESULTS_GONE}
    assert all("the vendor no longer gives out the results" in str(each.error) for each in failed)
    assert first.status()["reserved_usd"] == 0
    assert first.status()["possibly_billed_usd"] >= bill > 0
    assert again.status()["failed"] == 6
    assert batches == 1
    assert retried.status()["completed"] == 6
    assert retried.status()["possibly_billed_usd"] == first.status()["possibly_billed_usd"]


def test_answers_are_kept_when_only_the_error_file_is_gone(lab: Lab) -> None:
    gone = HttpFault(action="status", route=RESULTS[GPT], status=404, times=None, skip=1)
    lab.play("item-invalid", Scenario(http=(gone,)))

    run = lab.chat(20, items_per_batch=20).set_polling(0.0002).run()

    assert run.status()["completed"] == lab.ledger.billed_items > 0
    assert run.status()["cost_usd"] == lab.billed_usd


@VENDORS
@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("routes", [RESULTS, LOOKS], ids=["results", "looks"])
def test_a_key_that_is_withdrawn_stops_the_run_and_the_next_one_goes_on(
    lab: Lab, model: str, status: int, routes: dict[str, str]
) -> None:
    refuse(lab, routes[model], status)
    with pytest.raises(AccountStoppedError, match=f"answered {status}") as stopped:
        lab.chat(6, model).run()
    lab.play()

    run = lab.chat(6, model).run()

    assert "check the key" in str(stopped.value)
    assert run.status()["completed"] == 6
    assert lab.ledger.billed_items == 6
    assert len(lab.ledger.batches) == 1
