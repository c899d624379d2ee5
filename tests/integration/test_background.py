"""The background route against the sandbox: begun, written down, fetched, cancelled, lost, gone."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import Any

import orjson
import pytest
from run_lab import CLAUDE, GPT, PRICES, Lab, all_of, wait_until

from batchata import Batch, BatchRun, JobStatus, Reason, Usage
from batchata.core.errors import AccountStoppedError, NoRouteError, RunError
from batchata.core.usage import from_parts, to_parts
from batchata.engine import lost_results, shutdown
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.gateway.sandbox.openai.checks import read_request

BEGIN, FETCH, CANCEL = "openai.responses", "openai.responses.retrieve", "openai.responses.cancel"
LONG = Scenario(background_seconds=1000)


def asking(lab: Lab, count: int = 6, **settings: Any) -> Batch:
    """So many questions, to be answered in the background."""
    return lab.chat(count, **settings).set_route("background")


def begun(lab: Lab) -> int:
    return sum(each.route == BEGIN for each in lab.box.requests)


def live_bill_usd(lab: Lab) -> Decimal:
    """The vendor's bill at live prices."""
    card = PRICES.card("openai", GPT, "standard")
    usages = [Usage(c.input_tokens, c.output_tokens, c.cached_tokens) for c in lab.ledger.live]
    return sum((from_parts(to_parts(card.cost_usd(each))) for each in usages), Decimal(0))


def until_accepted(run: BatchRun, count: int) -> None:
    """Wait until so many responses are written down."""

    def are_there() -> bool:
        try:
            submissions = list(run._session.state.submissions.values())  # type: ignore[union-attr]
        except (RunError, AttributeError):
            return False
        return sum(each.remote_id is not None for each in submissions) >= count

    wait_until(are_there)


def test_each_job_is_begun_once_and_fetched_at_the_live_price(lab: Lab) -> None:
    lab.play(scenario=Scenario(background_seconds=0.05, background_queued_seconds=0.02))

    run = asking(lab, 12).run()

    results = all_of(run)
    assert run.is_complete
    assert all(each.is_success and each.raw_response for each in results.values())
    assert len({each.batch_id for each in results.values()}) == 12
    assert all(str(each.batch_id).startswith("resp_") for each in results.values())
    assert begun(lab) == len(lab.ledger.live) == 12
    assert run.status()["cost_usd"] == live_bill_usd(lab) > 0
    assert run.status()["reserved_usd"] == 0


def test_the_request_is_that_of_any_route_with_background_and_store(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def watched(endpoint: str, body: bytes, *rest: Any) -> Any:
        seen.append((endpoint, orjson.loads(body)))
        return read_request(endpoint, body, *rest)

    monkeypatch.setattr("batchata.gateway.sandbox.openai.live.read_request", watched)

    asking(lab, 1).run()

    assert seen == [
        (
            "/v1/responses",
            {
                "model": GPT,
                "input": "question 0",
                "max_output_tokens": 60,
                "background": True,
                "store": True,
            },
        )
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "reason"),
    [
        ("failed", JobStatus.FAILED, Reason.SERVER_ERROR),
        ("refusal", JobStatus.FAILED, Reason.REFUSED),
        ("content_filter", JobStatus.FAILED, Reason.FILTERED),
    ],
)
def test_ends_that_are_no_answer_are_told_as_the_vendor_gives_them(
    lab: Lab, outcome: Any, status: JobStatus, reason: Reason
) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome=outcome),)))

    run = asking(lab, 2).set_retries(1).run()

    assert {(each.status, each.reason) for each in all_of(run).values()} == {(status, reason)}
    assert run.status()["cost_usd"] == live_bill_usd(lab)


def test_raw_files_have_the_call_and_the_response_as_it_was_fetched(lab: Lab) -> None:
    run = asking(lab, 2).run()

    folder = lab.out / "raw_files"
    sent = [orjson.loads(x) for x in (folder / "requests/live_1.jsonl").read_bytes().splitlines()]
    came = [orjson.loads(x) for x in (folder / "responses/live_1.jsonl").read_bytes().splitlines()]
    fetched = {each["job_id"]: each["body"] for each in came if "response_id" in each}
    assert len(sent) == 2
    assert [each["body"]["status"] for each in came].count("queued") == 2
    assert {name: body["id"] for name, body in fetched.items()} == {
        each.job_id: each.batch_id for each in run.results().completed
    }


def test_one_that_is_cut_keeps_its_text(lab: Lab) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="length"),)))

    result = all_of(asking(lab, 1).run())["q0"]

    assert (result.status, result.finish_reason) == (JobStatus.SUCCEEDED, "length")
    assert result.raw_response


def test_one_that_fails_at_the_vendor_is_begun_again(lab: Lab) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="failed", times=2),)))

    run = asking(lab, 4).run()

    assert run.status()["completed"] == 4
    assert begun(lab) == 6
    assert len(lab.ledger.live) == 4


def test_one_that_others_cancelled_goes_again_and_costs_nothing(lab: Lab) -> None:
    lab.play(scenario=LONG)
    run = asking(lab, 2).start()
    until_accepted(run, 2)
    world = lab.box._up()
    for each in world.responses.values():
        each.is_cancelled = True
        world.ledger.strike(each.bill)
    lab.play()

    assert run.wait(timeout=60)
    assert run.status()["completed"] == 2
    assert run.status()["cost_usd"] == live_bill_usd(lab)
    assert {each.attempts for each in all_of(run).values()} == {2}


def test_a_run_that_stops_leaves_them_and_the_next_one_fetches_them(lab: Lab) -> None:
    lab.play(scenario=LONG)
    first = asking(lab).start()
    until_accepted(first, 6)
    first.shutdown()
    early = first.status()
    for each in lab.box._up().responses.values():
        each.ready_at = 0.0

    second = asking(lab).run()

    assert (early["active"], early["completed"]) == (6, 0)
    assert early["reserved_usd"] > 0
    assert second.status()["completed"] == 6
    assert begun(lab) == 6


def test_a_run_without_its_script_fetches_them(lab: Lab) -> None:
    lab.play(scenario=LONG)
    first = asking(lab).start()
    until_accepted(first, 6)
    first.shutdown()
    for each in lab.box._up().responses.values():
        each.ready_at = 0.0

    resumed = BatchRun.attach(lab.state_file, providers=lab.batch().providers).execute()

    assert resumed.status()["completed"] == 6
    assert begun(lab) == 6


def test_cancel_stops_them_at_the_vendor(lab: Lab) -> None:
    lab.play(scenario=LONG)
    run = asking(lab).start()
    until_accepted(run, 6)

    run.cancel()

    assert run.wait(timeout=60)
    assert {each.status for each in all_of(run).values()} == {JobStatus.CANCELLED}
    assert Counter(each.route for each in lab.box.requests)[CANCEL] == 6
    assert lab.ledger.live == []
    assert run.status()["cost_usd"] == run.status()["reserved_usd"] == 0


@pytest.mark.parametrize("silent", [CANCEL, FETCH])
def test_a_vendor_that_does_not_answer_holds_no_stopped_run(
    lab: Lab, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "GRACE_SECONDS", 0.2)
    hang = HttpFault(action="hang", route=silent, times=None, seconds=600)
    lab.play(scenario=Scenario(background_seconds=1000, http=(hang,)))
    run = asking(lab).set_stop("cancel").start()
    until_accepted(run, 6)

    run.stop()

    assert run.wait(timeout=60)
    lab.play(scenario=Scenario(clock_skew_seconds=1001))
    assert asking(lab).run().status()["completed"] == 6


@pytest.mark.parametrize(
    "fault",
    [
        HttpFault(action="cut_after", route=BEGIN, times=2),
        HttpFault(action="status_after", route=BEGIN, times=2, status=502),
        HttpFault(action="status_after", route=BEGIN, times=2, status=500),
    ],
    ids=["cut", "502", "500"],
)
def test_a_job_whose_id_was_lost_is_sent_again_on_the_users_word_only(
    lab: Lab, fault: HttpFault
) -> None:
    lab.play(scenario=Scenario(http=(fault,)))

    first, second = asking(lab).run(), asking(lab).run()
    sent = begun(lab)
    third = asking(lab).set_stop(on_unresolved="resubmit").run()

    for run in (first, second):
        assert (run.status()["completed"], run.status()["active"]) == (4, 2)
        assert run.status()["batches_unresolved"] == 2
        assert run.status()["reserved_usd"] > 0
        assert not run.is_complete
    assert sent == 6
    assert third.status()["completed"] == 6
    assert third.status()["batches_unresolved"] == third.status()["reserved_usd"] == 0
    assert third.status()["possibly_billed_usd"] >= live_bill_usd(lab) - third.status()["cost_usd"]
    assert begun(lab) == 8


@pytest.mark.parametrize("status", [429, 503])
def test_one_that_was_surely_not_begun_is_sent_again(lab: Lab, status: int) -> None:
    fault = HttpFault(
        action="status", route=BEGIN, times=3, status=status, retry_after_seconds=0.01
    )
    lab.play(scenario=Scenario(http=(fault,)))

    run = asking(lab).run()

    assert run.status()["completed"] == len(lab.ledger.live) == 6
    assert run.status()["possibly_billed_usd"] == 0


@pytest.mark.parametrize("action", ["status", "cut", "truncate"])
def test_a_fetch_that_fails_is_made_again(lab: Lab, action: Any) -> None:
    lab.play(scenario=Scenario(http=(HttpFault(action=action, route=FETCH, times=5),)))

    run = asking(lab).run()

    assert run.status()["completed"] == begun(lab) == 6


def test_one_that_the_vendor_forgot_is_failed_and_may_have_been_billed(lab: Lab) -> None:
    gone = HttpFault(action="status", route=FETCH, status=404, times=None)
    lab.play(scenario=Scenario(http=(gone,)))

    run = asking(lab, 2).set_polling(0.0001).run()

    failed = run.results().failed
    assert {each.reason for each in failed} == {Reason.RESULTS_GONE}
    assert all("has expired" in str(each.error) and each.batch_id for each in failed)
    assert run.status()["possibly_billed_usd"] >= live_bill_usd(lab) > 0
    assert run.status()["reserved_usd"] == 0


def test_a_404_that_is_a_hitch_loses_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_results, "_BELIEVED_SECONDS", 1e6)
    hitch = HttpFault(action="status", route=FETCH, status=404, times=20)
    lab.play(scenario=Scenario(http=(hitch,)))

    assert asking(lab, 2).run().status()["completed"] == 2


def test_a_key_that_is_withdrawn_stops_the_run_and_the_next_one_goes_on(lab: Lab) -> None:
    lab.play(
        scenario=Scenario(http=(HttpFault(action="status", route=FETCH, status=401, times=None),))
    )
    with pytest.raises(AccountStoppedError, match="401"):
        asking(lab).run()
    lab.play()

    assert asking(lab).run().status()["completed"] == 6
    assert begun(lab) == 6


def test_no_more_are_in_flight_than_the_user_wants(lab: Lab) -> None:
    lab.play(scenario=LONG)
    run = lab.chat(6).set_route("background", concurrency=2).start()
    until_accepted(run, 2)
    time.sleep(0.05)
    first = begun(lab)
    lab.play()
    for each in lab.box._up().responses.values():
        each.ready_at = 0.0

    assert run.wait(timeout=60)
    assert first == 2
    assert run.status()["completed"] == 6


def test_the_limit_holds_while_answers_are_waited_for(lab: Lab) -> None:
    lab.play(scenario=Scenario(background_seconds=0.02))

    run = asking(lab, 8).add_cost_limit(0.000_07).run()

    books = lab.books[lab.state_file]
    assert run.status()["completed"] + run.status()["skipped"] == 8
    assert run.status()["completed"] > 0
    assert books.reserved == 0
    assert run.status()["cost_usd"] <= Decimal("0.00007")


def test_what_may_have_been_begun_keeps_its_money(lab: Lab) -> None:
    lab.play(scenario=Scenario(http=(HttpFault(action="cut_after", route=BEGIN, times=1),)))

    run = asking(lab, 4).add_cost_limit(0.000_06).run()

    counts = run.status()
    assert (counts["active"], counts["skipped"]) == (1, 3)
    assert 0 < counts["reserved_usd"] <= Decimal("0.00006")
    assert counts["cost_usd"] == 0


def test_jobs_that_cannot_be_asked_so_fail_before_anything_leaves(lab: Lab) -> None:
    batch = lab.batch().set_route("background").set_default_params(model=GPT, max_tokens=60)
    batch.add_job(prompt="a", id="chat", endpoint="chat")
    batch.add_job(prompt="b", id="unstored", store=False)
    batch.add_job(prompt="c", id="good")

    results = all_of(batch.run())

    assert results["good"].is_success
    assert results["chat"].reason is results["unstored"].reason is Reason.BAD_INPUT
    assert "/v1/chat/completions" in str(results["chat"].error)
    assert "ten minutes" in str(results["unstored"].error)
    assert begun(lab) == 1


def test_a_vendor_without_background_responses_is_refused(lab: Lab) -> None:
    with pytest.raises(NoRouteError, match="background"):
        lab.chat(1, CLAUDE).set_route("background").run()


def test_those_of_an_earlier_run_are_fetched_beside_live_calls(lab: Lab) -> None:
    lab.play(scenario=LONG)
    first = asking(lab, 4).start()
    until_accepted(first, 4)
    first.shutdown()
    for each in lab.box._up().responses.values():
        each.ready_at = 0.0
    lab.play()

    second = lab.batch().set_default_params(model=GPT, max_tokens=60, endpoint="responses")
    for number in range(7):
        second.add_job(prompt=f"question {number}", id=f"q{number}")
    run = second.set_route("live").run()

    assert run.status()["completed"] == 7
    assert begun(lab) == len(lab.ledger.live) == 7
    assert run.status()["cost_usd"] == live_bill_usd(lab)
