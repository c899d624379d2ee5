"""Fetching background responses is killed anywhere: what is checked off is on disk and logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kill_retriever
from kill_arena import Arena, Baseline, Outcome
from kill_plans import Plan

from batchata import EventLog, read_events
from batchata.integrations.background.checkpoint import Checkpoint

PLAN = Plan(name="retriever", vendors=("openai",))
RESPONSES = 9
POINTS = 6


def begin(killing: Arena) -> list[str]:
    """Responses that are done at the vendor."""
    body = {"model": "gpt-6-luna", "background": True}
    answers = [
        killing.ask("POST", "/v1/responses", json.dumps({**body, "input": f"q{n}"}).encode())
        for n in range(RESPONSES)
    ]
    return [json.loads(each)["id"] for each in answers]


def run(killing: Arena, folder: Path, ids: list[str], **more: Any) -> Outcome:
    order = {"folder": str(folder), "url": killing.url, "ids": ids, **more}
    answer = killing.tell(order, kill_retriever.main)
    path = folder / "report.json"
    return Outcome(answer, json.loads(path.read_bytes()) if path.exists() else {})


def logged(folder: Path) -> set[str]:
    """Responses whose answers are in the log, with what a killed process left in its journal."""
    EventLog(folder / "logs").close()
    if not (folder / "logs").exists():
        return set()
    events = read_events(folder / "logs", event_type="background_retrieval_complete")
    return set(events["run_id"])


def stored(folder: Path) -> dict[str, str]:
    with Checkpoint(folder / "responses.db") as kept:
        return {row.response_id: json.loads(row.body)["id"] for row in kept.read(kept.known())}


def test_nothing_is_checked_off_that_is_not_on_disk(killing: Arena) -> None:
    folder = killing.new_case(PLAN)
    found = Baseline(PLAN, run(killing, folder, begin(killing)), killing.ledger())

    for point in found.sample(POINTS):
        folder = killing.new_case(PLAN)
        ids = begin(killing)
        killed = run(killing, folder, ids, kill=point)
        early = stored(folder)
        assert killed.was_killed, f"not killed at {point}"
        assert all(name == kept for name, kept in early.items()), f"killed at {point}"
        assert set(early) <= logged(folder), f"killed at {point}: checked off before it was logged"

        outcome = run(killing, folder, ids)

        assert outcome.report["statuses"] == ["completed"] * RESPONSES, f"killed at {point}"
        assert set(stored(folder)) == logged(folder) == set(ids), f"killed at {point}"
