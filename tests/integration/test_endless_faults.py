"""Faults that no run outlives, lost create calls, and results that lie on another host."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from run_lab import CLAUDE, GPT, MODELS, TOLD, Lab, end_limits

from batchata.core.errors import AccountStoppedError
from batchata.engine.clock import SystemClock
from batchata.gateway import HttpFault, Scenario

VENDORS = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@contextmanager
def other_host(lab: Lab) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A host that serves the sandbox's results to anybody; its address and what it was sent."""
    seen: list[dict[str, str]] = []
    address = urlsplit(lab.box.url).netloc

    class Results(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            upstream = http.client.HTTPConnection(address)
            keys = {"Authorization": "Bearer k", "anthropic-version": "2026-10-21"}
            upstream.request("GET", self.path, headers=keys)
            answer = upstream.getresponse().read()
            upstream.close()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Results) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


UNKNOWN_ROUTE = HttpFault(
    action="status", route="anthropic.batches.results", status=404, code="not_found_error"
)


def test_results_on_another_host_are_fetched_without_the_key(lab: Lab) -> None:
    with other_host(lab) as (url, seen):
        lab.play(scenario=Scenario(results_base_url=url, http=(UNKNOWN_ROUTE,)))

        run = lab.chat(12, CLAUDE).run()

    assert run.status()["completed"] == 12
    assert seen
    assert all({"authorization", "x-api-key"}.isdisjoint(headers) for headers in seen)


def asked(lab: Lab, route: str) -> int:
    """How often a route was asked."""
    return sum(each.route == route for each in lab.box.requests)


def test_results_on_a_host_that_is_not_there_are_waited_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = replace(UNKNOWN_ROUTE, times=None)
    lab.play(scenario=Scenario(results_base_url="http://127.0.0.1:9", http=(unknown,)))
    end_limits(monkeypatch, lambda: asked(lab, "anthropic.batches.results"))
    first = lab.chat(5, CLAUDE).add_time_limit(seconds=TOLD).run()
    left = [result.status for result in first.results().unfinished]
    lab.play()

    second = lab.chat(5, CLAUDE).run()

    assert left == ["submitted"] * 5
    assert second.status()["completed"] == 5
    assert len(lab.ledger.batches) == 1


def test_a_gateway_that_names_the_vendors_host_is_asked_for_the_results_itself(lab: Lab) -> None:
    lab.play(scenario=Scenario(results_base_url="http://127.0.0.1:9"))

    run = lab.chat(5, CLAUDE).run()

    assert run.status()["completed"] == 5


@VENDORS
@pytest.mark.parametrize("route", ["*.batches.list", "*.batches.create", "openai.files.create"])
def test_an_answer_200_that_is_no_answer_of_the_vendor_is_asked_for_again(
    lab: Lab, model: str, route: str
) -> None:
    strange = HttpFault(action="status", route=route, status=200, times=2)
    lost = HttpFault(action="cut_after", route="*.batches.create")
    lab.play(scenario=Scenario(http=(strange, lost)))

    run = lab.chat(5, model).run()

    assert run.status()["completed"] == 5
    assert set(lab.times_billed().values()) == {1}


def one_is_back(lab: Lab) -> bool:
    """True when of two batches one has been settled."""
    books = lab.books.get(lab.state_file)
    return books is not None and books.intents == 2 and len(books.held) == 1


@VENDORS
def test_a_batch_that_never_starts_is_left_at_the_time_limit(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play("stuck-validating")
    end_limits(monkeypatch, lambda: one_is_back(lab))

    run = lab.chat(20, model).add_time_limit(seconds=TOLD).run()

    assert run.status()["completed"] == 10
    left = run.results().unfinished
    assert {result.status for result in left} == {"submitted"}
    assert all("run again" in (result.error or "") for result in left)


@VENDORS
def test_a_batch_that_never_starts_can_be_cancelled_and_costs_nothing(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play("stuck-validating")
    end_limits(monkeypatch, lambda: one_is_back(lab))

    run = lab.chat(20, model).add_time_limit(seconds=TOLD).set_stop("cancel").run()

    assert run.status()["completed"] == 10
    assert run.status()["cost_usd"] == lab.billed_usd
    assert {entry.status for entry in lab.ledger.batches} >= {"cancelled"}


@VENDORS
def test_a_cancellation_that_takes_long_is_collected_by_the_next_run_and_its_jobs_asked(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(latency_seconds=3_600, cancel_seconds=600))
    end_limits(monkeypatch, lambda: lab.ledger.batches)
    first = lab.chat(10, model).add_time_limit(seconds=TOLD).set_stop("cancel").run()
    left = len(first.results().unfinished)
    lab.play(scenario=Scenario(cancel_seconds=600, clock_skew_seconds=601))

    second = lab.chat(10, model).run()

    assert left == 10
    assert second.status()["completed"] == 10
    assert set(lab.times_billed().values()) == {1}
    assert second.status()["cost_usd"] == lab.billed_usd


@VENDORS
@pytest.mark.parametrize("others", ["foreign-batches", "clock-skew", "clock-behind"])
def test_a_lost_create_call_is_found_again_by_the_next_run(
    lab: Lab, model: str, others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = HttpFault(action="cut_after", route="*.batches.create")
    unlisted = HttpFault(action="status", route="*.batches.list", status=503, times=None)
    lab.play(others, Scenario(http=(lost, unlisted)))
    vendor = "openai" if model == GPT else "anthropic"
    end_limits(monkeypatch, lambda: asked(lab, f"{vendor}.batches.list"))
    first = lab.chat(8, model).add_time_limit(seconds=TOLD).run()
    left = len(first.results().unfinished)
    lab.play(others)

    second = lab.chat(8, model).run()

    assert left == 8
    assert second.status()["completed"] == 8
    assert lab.ledger.billed_items == 8


def test_a_batch_that_may_be_anybodys_is_not_sent_again_before_that_is_known(lab: Lab) -> None:
    lost = HttpFault(action="cut_after", route="*.batches.create")
    lab.play(scenario=Scenario(http=(lost,), latency_seconds=0.4))

    run = lab.chat(8, CLAUDE).run()

    assert run.status()["completed"] == 8
    assert len(lab.ledger.batches) == 1


@VENDORS
def test_each_failure_carries_the_vendors_own_words(lab: Lab, model: str) -> None:
    lab.play("item-invalid")

    failed = lab.chat(40, model).run().results().failed

    assert failed
    assert {result.error for result in failed} == {"scripted item fault of the sandbox"}
    assert all(result.batch_id and result.attempts == 1 for result in failed)


@pytest.mark.parametrize(("model", "code"), [(GPT, "insufficient_quota"), (CLAUDE, "spend_limit")])
def test_an_account_that_stops_in_the_middle_leaves_its_jobs_for_the_next_run(
    lab: Lab, model: str, code: str
) -> None:
    lab.play({"insufficient_quota": "insufficient-quota"}.get(code, "spend-limit"))
    with pytest.raises(AccountStoppedError, match="429"):
        lab.chat(30, model, max_parallel_batches=1).run()
    lab.play()

    run = lab.chat(30, model).run()

    assert run.status()["completed"] == 30
    assert lab.ledger.billed_items == 30


@pytest.mark.parametrize("hours", [-13, 13])
@VENDORS
def test_a_clock_of_another_time_zone_sends_no_lost_batch_twice(
    lab: Lab, model: str, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = HttpFault(action="cut_after", route="*.batches.create")
    lab.play(scenario=Scenario(http=(lost,)))
    now = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda clock: now(clock) + timedelta(hours=hours))

    run = lab.chat(10, model).run()

    assert run.status()["completed"] == 10
    assert len(lab.ledger.batches) == 1
