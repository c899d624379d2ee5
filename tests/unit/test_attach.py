"""What a run without its script keeps, and what a stop before the first job does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from batchata import Batch, BatchRun
from batchata.core.errors import RunError
from batchata.gateway import ItemFault, Sandbox, Scenario
from batchata.stores.reader import ResultReader
from batchata.stores.sqlite import SQLiteStore


def batch_of(folder: Path, box: Sandbox) -> Batch:
    batch = Batch(folder).set_default_params(model="gpt-6-luna", max_tokens=20).set_polling(0.01)
    return batch.set_provider("openai", api_key="k", base_url=box.openai_base_url)


def test_attaching_keeps_the_cost_limit_of_the_state_file(tmp_path: Path) -> None:
    with Sandbox(Scenario()) as box:
        batch_of(tmp_path, box).add_cost_limit(5).add_job(prompt="a").run()

        run = BatchRun.attach(tmp_path / "state.db", send_pending=True).execute()

    assert run.cost_tracker.limit_usd == Decimal(5)


def test_a_script_without_a_limit_lifts_the_limit_of_an_earlier_run(tmp_path: Path) -> None:
    with Sandbox(Scenario()) as box:
        batch_of(tmp_path, box).add_cost_limit(5).add_job(prompt="a").run()

        run = batch_of(tmp_path, box).add_job(prompt="a").run()

    assert run.cost_tracker.limit_usd is None


def test_a_stop_right_after_the_start_is_not_lost(tmp_path: Path) -> None:
    with Sandbox(Scenario(latency_seconds=3_600)) as box:
        run = batch_of(tmp_path, box).add_job(prompt="a").start()
        run.stop()

        has_ended = run.wait(60)

    assert has_ended


def test_a_state_file_without_tables_yet_reads_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")

    reader = ResultReader(path)

    assert list(reader.seqs()) == []
    reader.close()


def test_the_limit_is_read_back_with_the_state(tmp_path: Path) -> None:
    with Sandbox(Scenario()) as box:
        batch_of(tmp_path, box).add_cost_limit(2).add_job(prompt="a").run()

    store = SQLiteStore(tmp_path / "state.db", read_only=True)

    assert store.load().cost.limit_usd == Decimal(2)
    store.close()


def test_failed_jobs_are_asked_again_when_the_cause_was_mended(tmp_path: Path) -> None:
    bad = ItemFault(outcome="invalid_request", prompt="bad")
    with Sandbox(Scenario(items=(bad,))) as box:
        run = batch_of(tmp_path, box).add_job(prompt="good").add_job(prompt="bad", id="x").run()
        assert [each.job_id for each in run.results().failed] == ["x"]
        box.set_scenario(Scenario())

        again = run.retry_failed()

        assert again.results()["x"].is_success
        assert len(box.ledger.items) == 2


def test_a_run_that_goes_on_cannot_be_retried(tmp_path: Path) -> None:
    with Sandbox(Scenario(latency_seconds=3_600)) as box:
        run = batch_of(tmp_path, box).add_job(prompt="a").start()

        with pytest.raises(RunError, match="still going on"):
            run.retry_failed()
        run.shutdown()
