"""Money of runs and of calls outside of runs, in one state file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from batchata.core.events import JobsAdded, OutcomesRecorded, ShapeAdded
from batchata.core.result import Reason
from batchata.core.status import JobStatus
from batchata.stores.spending import TOTAL, Spend, SpendFile
from batchata.stores.sqlite import SQLiteStore
from batchata.testing.store_contract import BOUND, SHAPE, intent, outcome, row

SPENT, UNCERTAIN = 40, 70


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A state file whose run spent something, may have spent more, and is not through."""
    made = tmp_path / "state.db"
    lost = outcome(1, "t", JobStatus.FAILED, reason=Reason.OUTCOME_UNKNOWN, uncertain=UNCERTAIN)
    store = SQLiteStore(made)
    store.commit(ShapeAdded(number=0, shape=SHAPE), JobsAdded(rows=[row(0), row(1), row(2)]))
    store.commit(intent("t", 0, 1, 2))
    store.commit(OutcomesRecorded(outcomes=[outcome(0, "t", cost=SPENT), lost]))
    store.close()
    return made


@contextmanager
def ledger_of(path: Path) -> Iterator[SpendFile]:
    ledger = SpendFile(path)
    try:
        yield ledger
    finally:
        ledger.close()


def test_what_a_run_spent_may_have_spent_and_has_set_aside_is_known_to_calls(path: Path) -> None:
    with ledger_of(path) as ledger:
        assert ledger.used_by_runs == SPENT + UNCERTAIN + BOUND
        assert ledger.read(*TOTAL) == Spend(*TOTAL, 0, 0, 0)


@pytest.mark.parametrize(
    ("spent", "uncertain", "allowed", "most"),
    [(1_000, 20, 0, 1_020), (1_000, 20, 1_500, 1_500), (1_000, 20, 1_010, 1_020)],
)
def test_what_calls_spent_is_told_apart_from_what_runs_did(
    path: Path, spent: int, uncertain: int, allowed: int, most: int
) -> None:
    line = Spend(*TOTAL, spent, uncertain, allowed)
    with ledger_of(path) as ledger:
        ledger.write([line, Spend("key", "k", 5, 0, 0)])

    with ledger_of(path) as ledger:
        assert ledger.read(*TOTAL) == line
        assert ledger.read(*TOTAL).most == most
        assert ledger.used_by_runs == SPENT + UNCERTAIN + BOUND


def test_a_run_counts_what_calls_spent_and_may_still_spend(path: Path) -> None:
    with ledger_of(path) as ledger:
        ledger.write([Spend(*TOTAL, 1_000, 20, 1_500)])

    store = SQLiteStore(path)
    cost = store.load().cost
    store.close()

    assert (cost.spent, cost.uncertain, cost.reserved) == (SPENT + 1_000, UNCERTAIN + 500, BOUND)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "budget.db"

    with ledger_of(path) as ledger:
        ledger.write([Spend(*TOTAL, 1, 0, 0)])
        modes = {each.stat().st_mode & 0o777 for each in tmp_path.glob("budget.db*")}

    assert modes == {0o600}
