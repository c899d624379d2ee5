"""`batchata status`, `results`, `resume`, `retry` and `cancel`: what a state file is good for."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import FAST, GPT, Cli, cli_in
from run_lab import wait_until

from batchata import Batch
from batchata.cli.build import Inputs, make_batch
from batchata.exceptions import MissingKeyError
from batchata.gateway import HttpFault, ItemFault, Scenario


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        yield made


def test_status_tells_what_is_in_flight(cli: Cli) -> None:
    cli.leave_in_flight()

    report = cli("status", "out", "--json", code=3).json
    shown = cli("status", "out/state.db", code=3).out

    assert report["jobs"]["submitted"] == 5
    assert [each["jobs"] for each in report["in_flight"]] == [3, 2]
    assert report["limit_usd"] == 1
    assert "batchata resume out/state.db" in shown


def test_status_tells_how_jobs_that_were_not_sent_are_sent(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MissingKeyError):
        Batch("out").set_default_params(model=GPT).add_jobs(["One?", "Two?"]).run()

    shown = cli("status", "out", code=3).out

    assert "2 jobs not sent yet: batchata resume out/state.db --pending" in shown


def test_status_names_a_batch_that_the_vendor_may_have_and_says_what_to_do(cli: Cli) -> None:
    lost = HttpFault(action="cut_after", route="*.batches.create", skip=1)
    unlisted = HttpFault(action="status", route="*.batches.list", status=503, times=None)
    run = cli.leave_in_flight(lost, unlisted)

    report = cli("status", "out", "--json", code=3).json
    shown = " ".join(cli("status", "out", code=3).out.split())
    cli.box.set_scenario(Scenario())
    cli.clock.ahead = 61
    done = cli("resume", "out", *FAST, "--json").json

    assert run.status()["batches_unresolved"] == 1
    assert report["batches_unresolved"] == 1
    assert "2 in flight, 1 unresolved" in shown
    assert "503" in shown
    assert "batchata resume out/state.db --on-unresolved resubmit" in shown
    assert done["status"]["batches_unresolved"] == 0
    assert done["succeeded"] == 5
    assert len(cli.box.ledger.batches) == 2


def test_status_tells_what_lost_answers_may_have_cost(cli: Cli) -> None:
    cli.leave_in_flight()
    gone = HttpFault(action="status", route="openai.files.content", status=404, times=None)
    cli.box.set_scenario(Scenario(http=(gone,)))
    cli.clock.ahead = 61
    cli("resume", "out", "--poll-factor", "0.0002", code=3)

    report = cli("status", "out", "--json", code=3).json
    shown = cli("status", "out", code=3).out

    assert report["possibly_billed"] > 0
    assert report["possibly_billed_usd"] > 0
    assert (report["jobs"]["failed"], report["reserved_usd"]) == (5, 0)
    assert f"billed for up to {report['possibly_billed']} lost answers" in " ".join(shown.split())


def test_resume_collects_without_the_script_and_pays_nothing_twice(cli: Cli) -> None:
    cli.leave_in_flight()
    cli.clock.ahead = 61

    report = cli("resume", "out", *FAST, "--json").json

    assert report["succeeded"] == 5
    assert len(cli.box.ledger.batches) == 2
    [file] = Path("out").glob("*.jsonl")
    assert len(file.read_bytes().splitlines()) == 5
    assert cli("status", "out", "--json").json["limit_usd"] == 1


def test_retry_asks_again_only_what_did_not_succeed(cli: Cli) -> None:
    cli.box.set_scenario(Scenario(items=(ItemFault(outcome="invalid_request", prompt="number 3"),)))
    cli.run("--json", code=3)
    cli.box.set_scenario(Scenario())

    report = cli("retry", "rows-results", *FAST, "--json").json

    assert report["succeeded"] == 1
    assert len(cli.box.ledger.items) == 5


def test_cancel_stops_the_vendors(cli: Cli) -> None:
    cli.leave_in_flight()

    said = cli("cancel", "out", *FAST, "--json").json

    assert (said["asked"], said["in_flight"]) == (2, 0)
    assert {batch.status for batch in cli.box.ledger.batches} <= {"cancelled", "ended"}


def test_responses_in_the_background_are_left_told_of_and_fetched(cli: Cli) -> None:
    cli.box.set_scenario(Scenario(background_seconds=60, poll_after_ms=10))
    inputs = Inputs(
        file=Path(cli.csv(40)),
        model="gpt-6-luna",
        prompt="Sum up: {text}",
        results=Path("out"),
        poll_factor=0.01,
        route="background",
    )
    run = make_batch(inputs).run(wait=False)
    while len(cli.box.ledger.live) < 40:
        assert not run.wait(0.01), "the run ended before it had sent anything"
    run.shutdown()

    shown = cli("status", "out", code=3).out
    cli.clock.ahead = 61
    report = cli("resume", "out", *FAST, "--json").json

    assert "40 submitted" in shown
    assert "and 10 others" in shown
    assert report["succeeded"] == len(cli.box.ledger.live) == 40


def test_cancel_says_so_when_nothing_is_in_flight(cli: Cli) -> None:
    cli.run()

    assert "nothing is in flight" in cli("cancel", "rows-results").err


def test_results_as_a_table_and_as_csv(cli: Cli) -> None:
    cli.run("--id-column", "key")

    table = cli("results", "rows-results").out
    text = cli("results", "rows-results", "--format", "csv").out

    rows = list(csv.DictReader(text.splitlines()))
    assert "r3" in table
    assert [row["job_id"] for row in rows] == ["r0", "r1", "r2", "r3", "r4"]
    assert [row["group"] for row in rows] == ["0", "1", "2", "0", "1"]


def test_results_by_status(cli: Cli) -> None:
    cli.leave_in_flight()

    done = cli("results", "out", "--format", "jsonl", "--status", "succeeded").out
    waiting = cli("results", "out", "--json", "--status", "submitted", "--limit", "4").out

    assert done == ""
    assert [json.loads(line)["status"] for line in waiting.splitlines()] == ["submitted"] * 4


def test_an_output_file_is_never_overwritten(cli: Cli) -> None:
    cli.run()
    cli("results", "rows-results", "-f", "csv", "-o", "a.csv")
    before = Path("a.csv").read_bytes()

    said = cli("results", "rows-results", "-f", "jsonl", "-o", "a.csv", code=1)

    assert "nothing is overwritten" in said.err
    assert Path("a.csv").read_bytes() == before


@pytest.mark.parametrize("command", ["status", "results", "resume", "cancel"])
def test_a_file_that_is_no_state_file_is_told_and_left_alone(cli: Cli, command: str) -> None:
    cli.file("state.json", '{"pending_jobs": []}')

    missing = cli(command, "nothing.db", code=1)
    other = cli(command, "state.json", code=1)

    assert "no state file" in missing.err
    assert "state.json" in other.err
    assert Path("state.json").read_text(encoding="utf-8") == '{"pending_jobs": []}'


def test_status_tells_live_calls_that_may_be_in_flight_and_calls_them_no_batches(cli: Cli) -> None:
    slow = HttpFault(action="slow", times=None, seconds=0.3)
    cli.box.set_scenario(Scenario(http=(slow,)))
    batch = Batch("out").set_route("live", concurrency=2).set_default_params(model=GPT)
    run = batch.add_jobs([f"question {n}" for n in range(9)]).start()
    wait_until(lambda: len(cli.box.requests) >= 2)

    during = cli("status", "out", "--json", code=3).json
    shown = cli("status", "out", code=3).out
    run.shutdown()
    after = cli("status", "out", "--json", code=3).json

    assert 2 <= during["live_calls"] <= 9
    assert "may be in flight" in shown
    assert (during["batches"], during["in_flight"]) == (0, [])
    assert after["live_calls"] == 0
    assert after["jobs"]["succeeded"] == len(cli.box.ledger.live)
