"""Runs whose state files are looked at."""

from __future__ import annotations

import time

from run_lab import CLAUDE, Lab

from batchata import Batch, BatchState, StateManager


class Later:
    """A clock that can be put forward."""

    seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.seconds


def mixed(lab: Lab) -> Batch:
    """Both vendors, a schema, metadata, a job that fails, and a limit."""
    batch = lab.chat(6).add_cost_limit(5).set_state(lab.folder / "state.db")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for number in range(4):
        batch.add_job(prompt=f"claude {number}", model=CLAUDE, metadata={"n": number})
    batch.add_job(prompt="a number", response_schema=schema, id="number")
    return batch.add_job(prompt="bad", model=CLAUDE, temperature=0.3, id="bad")


def manager(lab: Lab) -> StateManager:
    return StateManager(lab.folder / "state.db")


def loaded(state_manager: StateManager) -> BatchState:
    state = state_manager.load()
    assert state is not None
    return state
