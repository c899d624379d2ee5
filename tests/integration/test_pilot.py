"""A sample goes live first; batches that are late are finished live."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from cli_lab import GPT, Cli, cli_in
from run_lab import CLAUDE, TOLD, Lab, all_of, end_limits, wait_until

from batchata import Batch
from batchata.core.pilot import PilotReport
from batchata.gateway import HttpFault, ItemFault, Scenario
from batchata.sinks.terminal import RichBatchProgressDisplay


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("route", ["live", "batch", "auto"])
def test_a_sample_goes_first_and_tells_of_the_bill_to_come(lab: Lab, route: str) -> None:
    seen: list[tuple[PilotReport, int]] = []

    def decide(report: PilotReport) -> bool:
        seen.append((report, len(lab.ledger.live) + lab.ledger.billed_items))
        return True

    run = lab.chat(60).set_route(route).add_pilot(share=0.2, decide=decide).run()

    ((report, billed),) = seen
    assert (report.jobs, report.left, report.failed, billed) == (12, 48, 0, 12)
    assert len(report.answers) == 3
    assert run.pilot == report
    rest = run.status()["cost_usd"] - report.cost_usd
    assert abs(rest - report.expected_usd) <= 2 * report.expected_plus_minus_usd
    assert set(lab.times_billed().values()) <= {1}
    assert len(all_of(run)) == 60


@pytest.mark.parametrize(("route", "discount"), [("live", 1), ("batch", 2), ("auto", 2)])
def test_the_bill_to_come_is_at_the_prices_of_the_others_route(
    lab: Lab, route: str, discount: int
) -> None:
    run = lab.chat(20).set_route(route).add_pilot(jobs=5, decide=lambda report: False).run()

    assert run.pilot is not None
    assert run.pilot.expected_usd == pytest.approx(run.pilot.cost_usd * 3 / discount)


def test_a_no_stops_the_run_and_the_next_one_does_the_rest(lab: Lab) -> None:
    first = lab.chat(30).add_pilot(jobs=5, decide=lambda report: False).run()
    second = lab.chat(30).run()

    assert first.status()["completed"] == 5
    assert lab.ledger.billed_items == 25
    assert second.status()["completed"] == 30


def test_a_run_that_leaves_nothing_at_the_vendor_says_how_to_send_the_rest(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    lab.chat(10).add_pilot(jobs=2, decide=lambda report: False).run()

    assert f"`batchata resume {lab.state_file} --pending`" in caplog.text
    assert "at the vendor" not in caplog.text


def test_failures_of_the_sample_are_told_by_reason(lab: Lab) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="refusal", share=0.5),)))
    seen: list[PilotReport] = []

    lab.chat(60).add_pilot(jobs=20, decide=lambda report: bool(seen.append(report))).run()

    (report,) = seen
    assert 2 <= report.failed == report.reasons["refused"] <= 18
    assert abs(report.failure_rate - 0.5) <= 2 * report.failure_rate_plus_minus


def test_a_mistake_in_the_callback_ends_the_run_with_it_and_keeps_what_is_paid_for(
    lab: Lab,
) -> None:
    def decide(report: PilotReport) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lab.chat(10).add_pilot(jobs=3, decide=decide).run()

    assert lab.chat(10).run().status()["completed"] == 10
    assert lab.ledger.billed_items == 7


def test_a_stop_does_not_wait_for_an_answer_to_the_question(lab: Lab) -> None:
    asked, never = threading.Event(), threading.Event()
    answers: list[bool] = []

    def decide(report: PilotReport) -> bool:
        asked.set()
        answers.append(never.wait(60))
        return answers[0]

    run = lab.chat(10).add_pilot(jobs=3, decide=decide).start()
    assert asked.wait(60)

    run.shutdown()

    assert answers == []
    never.set()
    assert run.status()["completed"] == 3


def test_the_picture_is_away_while_the_user_is_asked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[RichBatchProgressDisplay] = []
    shown: list[bool] = []

    def make() -> RichBatchProgressDisplay:
        pictures.append(RichBatchProgressDisplay(is_live=True))
        return pictures[-1]

    def decide(report: PilotReport) -> bool:
        shown.append(pictures[0]._live is not None)
        return True

    monkeypatch.setattr("batchata.run.make_display", make)

    run = lab.chat(10).add_pilot(jobs=3, decide=decide).run(print_status=True)

    assert shown == [False]
    assert run.status()["completed"] == 10


@pytest.mark.parametrize("pilot", ["20", "10%"])
def test_run_shows_the_pilot_before_the_rest(cli: Cli, pilot: str) -> None:
    said = cli("run", cli.csv(40), "-m", GPT, "-p", "{text}", "--pilot", pilot, "--yes")

    jobs = 20 if pilot == "20" else 4
    assert f"{jobs} jobs for " in said.err
    assert f"{40 - jobs} jobs for about $" in said.err
    assert len(cli.box.ledger.live) == jobs
    assert cli.box.ledger.billed_items == 40 - jobs


@pytest.mark.parametrize("answer", ["y", "n"])
def test_run_asks_whether_to_go_on_after_the_pilot(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("batchata.cli.run.is_person_there", lambda: True)
    command = ("run", cli.csv(20), "-m", GPT, "-p", "{text}", "--live", "--pilot", "5")

    said = cli(*command, typed=f"y\n{answer}\n", code=0 if answer == "y" else 3)

    assert "Go on?" in said.err
    assert len(cli.box.ledger.live) == (20 if answer == "y" else 5)


def test_programs_find_the_pilot_in_the_report(cli: Cli) -> None:
    report = cli.run("--live", "--pilot", "2", "--json").json

    assert (report["pilot"]["jobs"], report["pilot"]["left"]) == (2, 3)
    assert report["pilot"]["expected_usd"] > 0
    assert report["status"]["completed"] == 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pilot", "many"), "neither a number of jobs nor a percentage"),
        (("--live", "--finish-within", "2"), "--finish-within has no meaning"),
        (("--live", "--route", "auto"), "disagree"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    cli: Cli, options: tuple[str, ...], words: str
) -> None:
    assert words in cli.run(*options, code=1).err
    assert not cli.box.requests


def test_equal_rows_are_asked_once_and_kept_for_the_next_file(cli: Cli) -> None:
    rows = cli.file("same.csv", "text\nred\nblue\nred\n")
    options = ("-m", GPT, "-p", "Is {text} warm?", "--live", "--dedupe", "--cache", "answers.db")

    first = cli("run", rows, *options, "--json").json
    second = cli("run", rows, *options, "--results", "again", "--json").json

    assert first["status"]["completed"] == second["status"]["completed"] == 3
    assert len(cli.box.ledger.live) == 2


def test_caps_of_live_calls_are_taken(cli: Cli) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.02)
    cli.box.set_scenario(Scenario(http=(slow,)))

    cli.run("--live", "--concurrency", "1", "--rpm", "100000", "--tpm", "1000000", "--yes")

    times = [each.at for each in cli.box.ledger.live]
    assert len(times) == 5
    assert max(times) - min(times) >= 4 * 0.02


def test_the_estimate_of_an_auto_run_shows_both_prices(lab: Lab, cli: Cli) -> None:
    batch, auto = (lab.chat(10, CLAUDE).set_route(route).estimate() for route in ("batch", "auto"))

    assert batch.expected_live_usd is None
    assert auto.expected_usd == batch.expected_usd
    assert auto.expected_live_usd == 2 * auto.expected_usd
    assert auto.worst_case_usd == 2 * batch.worst_case_usd
    assert auto.to_dict()["expected_live_usd"] == float(auto.expected_live_usd)
    shown = cli("estimate", cli.csv(), "-m", GPT, "-p", "{text}", "--route", "auto").out
    assert "if all live" in shown


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_batches_that_are_late_are_cancelled_and_finished_live_inside_the_budget(
    lab: Lab, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(latency_seconds=3_600))
    end_limits(monkeypatch, lambda: lab.ledger.batches)
    batch = lab.chat(12, model).finish_within(seconds=TOLD)
    limit = batch.estimate().worst_case_usd

    run = batch.add_cost_limit(limit).run()

    assert run.status()["completed"] == 12
    assert {each.status for each in lab.ledger.batches} == {"cancelled"}
    assert lab.ledger.billed_items + len(lab.ledger.live) == 12
    assert Decimal(0) < run.status()["cost_usd"] <= limit


def test_the_time_for_batches_goes_on_while_no_process_runs(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(latency_seconds=7200))
    end_limits(monkeypatch, lambda: lab.ledger.batches)
    lab.chat(6).finish_within(hours=1).add_time_limit(seconds=TOLD).run()
    with closing(sqlite3.connect(lab.state_file)) as db, db:
        db.execute("UPDATE submissions SET intended_us = intended_us - 3600 * 1000000")

    run = lab.chat(6).finish_within(hours=1).run()

    assert run.status()["completed"] == 6
    assert len(lab.ledger.live) == 6


def test_batches_in_time_cost_half_and_nothing_goes_live(lab: Lab) -> None:
    run = lab.chat(12).finish_within(hours=1).run()

    assert run.status()["completed"] == 12
    assert run.status()["cost_usd"] == lab.billed_usd
    assert not lab.ledger.live


def test_a_run_that_stopped_live_goes_on_live_without_its_script(cli: Cli) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.1)
    cli.box.set_scenario(Scenario(http=(slow,)))
    batch = Batch("out").set_route("live", concurrency=1).set_polling(0.01)
    batch.set_default_params(model=GPT, max_tokens=20)
    run = batch.add_jobs([f"question {n}" for n in range(6)]).start()
    wait_until(lambda: len(cli.box.ledger.live) >= 2)
    run.shutdown()
    cli.box.set_scenario(Scenario())

    report = cli("resume", "out", "--pending", "--json").json

    assert report["status"]["completed"] == 6
    assert len(cli.box.ledger.live) == 6
    assert not cli.box.ledger.batches
