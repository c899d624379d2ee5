"""Runs of the engine in the event log: every call once, whatever route and however often killed."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from run_lab import CLAUDE, Lab

from batchata import BatchRun, read_events
from batchata.core.errors import EventLogError, ValidationError
from batchata.gateway import ItemFault, Scenario
from batchata.stores.sqlite import SQLiteStore

FAILS = Scenario(items=(ItemFault(outcome="invalid_request", prompt="question 1"),))


def kinds(folder: Path) -> Counter[str]:
    return Counter(read_events(folder)["event_type"])


@pytest.mark.parametrize("route", ["batch", "live", "background"])
def test_a_run_logs_the_start_and_the_end_of_every_call(
    route: Any, lab: Lab, tmp_path: Path
) -> None:
    lab.play(scenario=FAILS)
    logs = tmp_path / "logs"

    run = lab.chat(3).set_route(route).set_event_log(logs).run()

    events = read_events(logs)
    calls = Counter(zip(events["logger_custom_id"], events["event_type"], strict=True))
    assert {key: count for key, count in calls.items() if key[1].startswith("llm")} == {
        ("q0", "llm_start"): 1,
        ("q0", "llm_end"): 1,
        ("q1", "llm_start"): 1,
        ("q1", "llm_error"): 1,
        ("q2", "llm_start"): 1,
        ("q2", "llm_end"): 1,
    }
    end = events[(events["event_type"] == "llm_end") & (events["logger_custom_id"] == "q0")]
    result = run.results()["q0"]
    assert end["answer"].item() == result.raw_response
    assert end["output_tokens"].item() == result.output_tokens
    assert end["cost_usd"].item() == pytest.approx(float(result.cost_usd))
    assert end["latency_seconds"].item() >= 0
    start = events[events["run_id"] == end["run_id"].item()].iloc[0]
    assert (start["event_type"], start["prompt"]) == ("llm_start", "question 0")
    assert set(events["provider"]) == {"openai"}


def test_the_fetching_of_background_responses_is_logged_beside_their_calls(
    lab: Lab, tmp_path: Path
) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="failed", prompt="question 1"),)))

    run = lab.chat(2).set_route("background").set_retries(1).set_event_log(tmp_path / "logs").run()

    events = read_events(tmp_path / "logs")
    fetched = events[events["event_type"].str.startswith("background")]
    told = list(zip(fetched["event_type"], fetched["logger_custom_id"], strict=True))
    assert sorted(told) == [
        ("background_retrieval_attempt", "q0"),
        ("background_retrieval_attempt", "q1"),
        ("background_retrieval_complete", "q0"),
        ("background_retrieval_error", "q1"),
    ]
    assert set(fetched["run_id"]) == set(events["run_id"])
    for job_id in ("q0", "q1"):
        mine = fetched[fetched["logger_custom_id"] == job_id]
        assert mine["payload"].str.contains(str(run.results()[job_id].batch_id)).all()


def test_batches_are_logged_beside_their_calls(lab: Lab, tmp_path: Path) -> None:
    lab.chat(4, CLAUDE, items_per_batch=2).set_event_log(tmp_path / "logs").run()

    events = read_events(tmp_path / "logs", event_type=["batch_submitted", "batch_ended"])

    assert Counter(events["event_type"]) == {"batch_submitted": 2, "batch_ended": 2}
    assert set(events["provider"]) == {"anthropic"}
    assert events["payload"].str.contains("msgbatch_").all()


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("route", ["batch", "live"])
@pytest.mark.parametrize("commit", range(2, 12, 3))
def test_a_killed_run_has_every_end_in_the_log_once_when_it_goes_on(
    route: Any, commit: int, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state file has the answer, and the process dies before the log is told."""
    logs, left, real = tmp_path / "logs", [commit], SQLiteStore.commit

    def dying(store: SQLiteStore, *events: Any) -> None:
        real(store, *events)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    def build() -> Any:
        batch = lab.chat(6, items_per_batch=2).set_route(route, concurrency=2)
        return batch.set_event_log(logs)

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStore, "commit", dying)
        with contextlib.suppress(BaseException):
            build().run()
    build().run()

    ends = read_events(logs, event_type="llm_end")
    assert Counter(ends["logger_custom_id"]) == {f"q{number}": 1 for number in range(6)}


def test_a_log_that_cannot_be_written_does_not_stop_a_run(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way")

    run = lab.chat(2).set_event_log(tmp_path / "logs").run()

    assert len(run.results().completed) == 2
    assert "logs.journal" in caplog.text
    (tmp_path / "logs").unlink()
    lab.chat(3).set_event_log(tmp_path / "logs").run()
    assert kinds(tmp_path / "logs")["llm_end"] == 3


def test_a_log_that_must_be_written_stops_a_run(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    (tmp_path / "logs.journal").write_text("in the way too")

    with pytest.raises(EventLogError, match="cannot be written"):
        lab.chat(4, items_per_batch=1).set_event_log(tmp_path / "logs", on_failure="stop").run()


def test_keys_of_providers_are_not_in_the_log(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN_API_KEY", "another-secret-1")
    batch = lab.batch().set_default_params(model="gpt-6-luna", max_tokens=60)
    batch.set_provider("openai", api_key="plain-secret-99", base_url=lab.box.openai_base_url)
    batch.add_job(prompt="keep plain-secret-99 and another-secret-1 to yourself", id="a")

    batch.set_event_log(tmp_path / "logs").run()

    text = repr(read_events(tmp_path / "logs").to_dict())
    assert "to yourself" in text
    assert "plain-secret-99" not in text
    assert "another-secret-1" not in text


@pytest.mark.parametrize("where", ["", "  ", 7])
def test_a_log_without_a_place_is_refused(where: Any, lab: Lab) -> None:
    with pytest.raises(ValidationError, match="event log"):
        lab.batch().set_event_log(where)


def test_a_run_without_its_script_logs_too(lab: Lab, tmp_path: Path) -> None:
    from dataclasses import replace

    lab.chat(2).run()
    run = BatchRun.attach(lab.state_file, providers=lab.batch().providers)
    run.config = replace(run.config, event_log=str(tmp_path / "logs"))

    run.execute()

    assert kinds(tmp_path / "logs") == {}
