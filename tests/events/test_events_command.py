"""`batchata events`: an event log on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchata import EventLog, LoggedEvent
from batchata.cli import events as command
from batchata.cli.app import app

NOON_US = 1_795_262_400_000_000


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    with EventLog(tmp_path / "logs") as log:
        for number in range(3):
            data = {"answer": f"answer {number}", "model": "gpt-6-luna", "cost_usd": "0.25"}
            log.write(
                LoggedEvent(
                    event_type="llm_end" if number else "llm_error",
                    custom_id=f"row-{number}",
                    data=data if number else {"error": {"message": "no such model"}},
                    timestamp_us=NOON_US + number,
                )
            )
            log.flush()
    return tmp_path / "logs"


def said(*args: Any, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["events", *map(str, args)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_shows_what_happened(logs: Path) -> None:
    shown = said(logs).splitlines()

    assert len(shown) == 3
    assert "2026-11-21 12:00:00  llm_error" in shown[0]
    assert shown[0].endswith("no such model")
    assert "row-2" in shown[2]
    assert shown[2].endswith("gpt-6-luna  answer 2")


def test_shows_what_is_asked_for(logs: Path) -> None:
    assert "row-1" in said(logs, "--id", "row-1")
    assert len(said(logs, "--type", "llm_end").splitlines()) == 2
    assert "row-2" in said(logs, "--limit", "1")
    assert said(logs, "--since", "2026-11-22") == ""
    assert [row["answer"] for row in json.loads(said(logs, "--json"))] == [
        None,
        "answer 1",
        "answer 2",
    ]


def test_answers_sql(logs: Path) -> None:
    query = "select model, sum(cost_usd) as usd from events where model is not null group by 1"

    assert json.loads(said(logs, "--sql", query, "--json")) == [{"model": "gpt-6-luna", "usd": 0.5}]
    assert "gpt-6-luna  0.5" in said(logs, "--sql", query)
    assert "the table is called events" in said(logs, "--sql", "select * from logs", code=1)


def test_makes_one_file_of_many(logs: Path) -> None:
    assert "3 files are 1 now; 3 events moved" in said(logs, "--compact")
    assert len(said(logs).splitlines()) == 3


def test_follows_a_log_that_grows(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_one(seconds: float) -> None:
        if len(list(logs.rglob("*.parquet"))) == 4:
            raise KeyboardInterrupt
        with EventLog(logs) as log:
            log.write(LoggedEvent(event_type="llm_end", custom_id="new", data={"answer": "late"}))

    monkeypatch.setattr(command.time, "sleep", write_one)

    shown = said(logs, "--follow", code=130).splitlines()

    assert len([line for line in shown if "row-" in line]) == 3
    assert len([line for line in shown if line.endswith("late")]) == 1


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "there is no event log" in said(tmp_path / "none", code=1)
