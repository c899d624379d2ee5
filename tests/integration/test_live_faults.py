"""Live calls that vendors refuse, slow down, answer late or never."""

from __future__ import annotations

import socket
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from run_lab import CLAUDE, GPT, MODELS, Lab, all_of, cost_of, wait_until

from batchata import Batch
from batchata.core.errors import AccountStoppedError
from batchata.core.usage import from_parts
from batchata.gateway import HttpFault, Sandbox, Scenario
from batchata.report.writing import write_report

ROUTES = {"openai": "openai.chat", "anthropic": "anthropic.messages"}
VENDORS = pytest.mark.parametrize("vendor", MODELS)


def live(lab: Lab, count: int, model: str = GPT, **settings: Any) -> Batch:
    """So many short questions, asked live."""
    return lab.chat(count, model, **settings).set_route("live", concurrency=4)


def fault(vendor: str, action: Any = "status", **told: Any) -> Scenario:
    """One fault of a vendor's live endpoint."""
    return Scenario(http=(HttpFault(action=action, route=ROUTES[vendor], **told),))


@VENDORS
@pytest.mark.parametrize("style", ["seconds", "date", "milliseconds"])
def test_a_call_that_is_told_to_wait_goes_again(lab: Lab, vendor: str, style: Any) -> None:
    lab.play(
        scenario=fault(
            vendor,
            times=2,
            status=429,
            code="rate_limit_exceeded",
            retry_after_seconds=20,
            retry_after_style=style,
        )
    )

    run = live(lab, 6, MODELS[vendor]).run()

    assert run.status()["completed"] == 6
    assert len(lab.ledger.live) == 6


def test_one_answer_that_says_wait_pauses_every_call(lab: Lab) -> None:
    lab.play(scenario=fault("openai", status=429, retry_after_seconds=300))

    run = live(lab, 30).run()

    times = [call.at for call in lab.ledger.live]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    long = [number for number, gap in enumerate(gaps, 1) if gap >= 0.25]  # 300 s, in tests
    assert run.status()["completed"] == 30
    assert long
    assert long[0] <= 2 * 4  # what was in flight, and what left before the answer was read


@VENDORS
@pytest.mark.parametrize(
    "told",
    [
        {"status": 408},
        {"status": 409},
        {"status": 429},
        {"status": 429, "code": "resource_unavailable"},
        {"status": 500},
        {"status": 502},
        {"status": 503},
        {"status": 529},
    ],
    ids=lambda told: "-".join(str(each) for each in told.values()),
)
def test_a_fault_that_passes_is_tried_again(lab: Lab, vendor: str, told: dict[str, Any]) -> None:
    lab.play(scenario=fault(vendor, times=2, **told))

    run = live(lab, 5, MODELS[vendor]).run()

    assert run.status()["completed"] == 5
    assert run.status()["possibly_billed_usd"] == 0
    assert len(lab.ledger.live) == 5


@VENDORS
def test_an_error_with_a_good_status_is_tried_again_and_costs_nothing(
    lab: Lab, vendor: str
) -> None:
    lab.play(scenario=fault(vendor, times=2, status=200, code="server_error"))

    run = live(lab, 6, MODELS[vendor]).run()

    assert run.status()["completed"] == 6
    assert len(lab.ledger.live) == 6
    (books,) = lab.books.values()
    assert from_parts(books.spent) == cost_of(run.results().completed)


def test_a_server_that_sends_elsewhere_is_not_followed_with_the_key(lab: Lab) -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(307)
            self.send_header("Location", f"{lab.box.openai_base_url}/chat/completions")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        batch = live(lab, 1).set_provider("openai", api_key="k", base_url=address)
        (failed,) = batch.run().results().failed
        server.shutdown()

    assert asked == ["/v1/chat/completions"]
    assert not lab.ledger.live
    assert "give the address of the API itself as base_url" in str(failed.error)


NO_MODEL = {
    "openai": {"code": "model_not_found", "message": "The model `m` does not exist."},
    "anthropic": {"code": "not_found_error", "message": "model: m"},
}


@VENDORS
def test_a_model_that_the_vendor_lacks_is_asked_for_a_few_times_and_told_once(
    lab: Lab, vendor: str, caplog: pytest.LogCaptureFixture
) -> None:
    lab.play(scenario=fault(vendor, times=None, status=404, **NO_MODEL[vendor]))
    run = live(lab, 600, MODELS[vendor]).set_route("live", concurrency=4, rpm=6_000).run()
    asked = len(lab.box.requests)
    told = [each.message for each in caplog.records if "without being asked" in each.message]

    failed = run.results().failed
    lab.play()
    again = live(lab, 600, MODELS[vendor]).run()

    assert asked <= 8 + 4
    assert len(told) == 1
    assert {result.reason for result in failed} == {"model_not_found"}
    assert len(failed) == 600
    assert run.status()["cost_usd"] == run.status()["reserved_usd"] == 0
    assert again.status()["completed"] == 600


def test_a_model_that_one_of_several_servers_lacks_is_asked_on(lab: Lab) -> None:
    fault_ = HttpFault(
        action="status", route=ROUTES["openai"], skip=1, times=20, status=404, **NO_MODEL["openai"]
    )
    lab.play(scenario=Scenario(http=(fault_,)))

    run = lab.chat(60).set_route("live", concurrency=1).run()

    assert (run.status()["completed"], run.status()["failed"]) == (40, 20)


def test_the_jobs_of_other_models_go_on_without_the_one_that_is_not_there(lab: Lab) -> None:
    lab.play(scenario=fault("openai", times=None, status=404, **NO_MODEL["openai"]))
    batch = live(lab, 100)
    for number in range(20):
        batch.add_job(prompt=f"and {number}", model=CLAUDE)

    run = batch.run()

    assert (run.status()["completed"], run.status()["failed"]) == (20, 100)


@VENDORS
@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_call_that_is_wrong_is_made_once(lab: Lab, vendor: str, status: int) -> None:
    lab.play(scenario=fault(vendor, status=status, contains='"question 2"'))

    run = live(lab, 5, MODELS[vendor]).run()

    (failed,) = run.results().failed
    assert failed.job_id == "q2"
    assert failed.attempts == 1
    assert str(status) in (failed.error or "")
    assert len(lab.ledger.live) == 4


@pytest.mark.parametrize(
    ("vendor", "status", "code", "hint"),
    [
        ("openai", 401, "invalid_api_key", "check the key"),
        ("openai", 403, "permission_denied", "permission"),
        ("openai", 429, "insufficient_quota", "credit"),
        ("openai", 429, "credit_balance_exhausted", "credit"),
        ("anthropic", 401, "authentication_error", "check the key"),
        ("anthropic", 429, "enforced_spend_limit_reached", "spend limit"),
    ],
)
def test_a_stopped_account_stops_the_run_which_can_go_on_later(
    lab: Lab, vendor: str, status: int, code: str, hint: str
) -> None:
    lab.play(scenario=fault(vendor, times=None, skip=3, status=status, code=code))

    with pytest.raises(AccountStoppedError) as caught:
        live(lab, 20, MODELS[vendor]).run()
    refused = len(lab.box.requests) - len(lab.ledger.live)
    lab.play()
    run = live(lab, 20, MODELS[vendor]).run()

    assert hint in (caught.value.hint or "")
    assert refused <= 4  # none but those that were in flight
    assert run.status()["completed"] == 20
    assert len(lab.ledger.live) == 20
    assert {result.attempts for result in all_of(run).values()} == {1}


@VENDORS
@pytest.mark.parametrize("action", ["cut_after", "hang_after"])
def test_an_answer_that_is_lost_keeps_its_reservation(
    lab: Lab, vendor: str, action: str, tmp_path: Path
) -> None:
    lab.play(scenario=fault(vendor, action))
    batch = live(lab, 5, MODELS[vendor])
    lab.connect(batch, timeout_seconds=1 if action == "hang_after" else 60)
    bound = batch.estimate().worst_case_usd / 5

    run = batch.run()
    again = live(lab, 5, MODELS[vendor]).run()

    assert len(lab.ledger.live) == 6
    for each in (run, again):
        assert each.status()["completed"] == 5
        assert each.status()["possibly_billed"] == 1
        assert each.status()["possibly_billed_usd"] == bound
    report = tmp_path / "report.html"
    write_report(lab.state_file, report)
    assert '"possibly_billed":1' in report.read_text()


def test_a_lost_answer_leaves_its_money_to_nobody_else(lab: Lab) -> None:
    lab.play(scenario=fault("openai", "cut_after"))
    batch = live(lab, 1)
    bound = batch.estimate().worst_case_usd

    run = batch.add_cost_limit(bound * Decimal("1.5")).run()

    (skipped,) = run.results().skipped
    assert skipped.reason == "cost_limit"
    assert run.status()["possibly_billed_usd"] == bound
    assert len(lab.ledger.live) == 1


def test_a_server_that_fails_for_good_fails_the_job_and_not_the_run(lab: Lab) -> None:
    lab.play(scenario=fault("openai", times=None, status=500, contains='"question 1"'))

    run = live(lab, 4).run()

    (failed,) = run.results().failed
    assert (failed.job_id, failed.reason, failed.attempts) == ("q1", "server_error", 3)
    assert run.status()["completed"] == 3


def test_an_outage_of_the_server_is_waited_out_and_no_job_is_blamed(lab: Lab) -> None:
    lab.play(scenario=fault("openai", times=80, skip=4, status=502))

    run = lab.chat(40).set_route("live").set_polling(0.01).run()

    assert run.status()["completed"] == 40
    assert {result.attempts for result in all_of(run).values()} == {1}
    assert len(lab.ledger.live) == 40


@pytest.mark.parametrize("jobs", [1, 8])
def test_a_short_outage_fails_no_row_however_few_meet_it(lab: Lab, jobs: int) -> None:
    lab.play(scenario=fault("openai", times=4 * jobs, status=502))

    run = live(lab, jobs).set_polling(0.02).run()

    assert run.status()["completed"] == jobs
    assert len(lab.ledger.live) == jobs


def test_who_wants_no_second_try_has_none_from_a_server_that_fails(lab: Lab) -> None:
    lab.play(scenario=fault("openai", status=500))

    run = live(lab, 1).set_retries(max_attempts=1).run()

    assert [result.attempts for result in run.results().failed] == [1]
    assert len(lab.box.requests) == 1


def test_a_server_that_never_works_again_fails_its_jobs_in_the_end(lab: Lab) -> None:
    lab.play(scenario=fault("openai", times=None, status=500))

    run = live(lab, 20).set_polling(0.0001).run()

    assert run.status()["failed"] == 20
    assert {result.reason for result in run.results().failed} == {"server_error"}


def test_a_server_that_is_away_is_waited_for_however_long_and_by_few_calls(lab: Lab) -> None:
    kept = socket.socket()  # nobody else is given the port meanwhile
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    port = kept.getsockname()[1]
    batch = live(lab, 300).set_polling(0.0001)
    batch.set_provider("openai", api_key="k", base_url=f"http://127.0.0.1:{port}/v1")
    run = batch.start()
    wait_until(lambda: "cannot be reached" in (run.view.note or ""))
    responses = lab.out / "raw_files" / "responses" / "live_1.jsonl"
    wait_until(lambda: responses.exists() and responses.read_bytes().count(b"\n") > 500)
    before = run.status()

    with kept, Sandbox(port=port) as box:
        run.wait()
        billed = len(box.ledger.live)

    assert before["pending"] == 300
    assert before["failed"] == before["throttled_seconds"] == 0
    assert before["calls_in_flight"] <= 4
    assert run.status()["completed"] == billed == 300
    assert run.status()["possibly_billed_usd"] == 0


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_nothing_new_leaves_after_a_stop_and_all_is_there_afterwards(lab: Lab, model: str) -> None:
    lab.play(scenario=Scenario(http=(HttpFault(action="slow", times=None, seconds=0.5),)))
    first = live(lab, 20, model).start()
    wait_until(lambda: len(lab.box.requests) >= 4)

    first.shutdown()
    sent = len(lab.box.requests)
    lab.play()
    second = live(lab, 20, model).run()

    assert sent <= 8
    assert first.status()["completed"] == sent
    assert second.status()["completed"] == 20
    assert len(lab.ledger.live) == 20


def test_a_live_run_says_how_many_calls_are_out_and_for_how_long_it_is_throttled(lab: Lab) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.3, skip=1)
    told = HttpFault(action="status", status=429, retry_after_seconds=1_000)
    lab.play(scenario=Scenario(http=(told, slow)))
    run = live(lab, 8).start()
    seen: list[dict[str, Any]] = []

    def is_over() -> bool:
        seen.append(run.status())
        return run.wait(0)

    wait_until(is_over)

    assert 0 < max(each["throttled_seconds"] for each in seen) <= 1
    assert 0 < max(each["calls_in_flight"] for each in seen) <= 4
    assert max(each["tokens_per_minute"] for each in seen) > 0
    assert seen[-1]["calls_in_flight"] == 0
    assert seen[-1]["jobs_per_second"] > 0
