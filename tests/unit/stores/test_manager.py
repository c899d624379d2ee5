"""The state file as one value: looked at, written back, put aside."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from run_lab import GPT, Lab, all_of
from state_lab import Later, loaded, manager, mixed

from batchata import BatchRun, BatchState, Citation, JobResult, JobStatus, StateError, StateManager
from batchata.core.errors import StateLockedError
from batchata.core.result import Reason
from batchata.gateway import ItemFault, Scenario
from batchata.stores.lock import RunLock
from batchata.stores.sqlite import SQLiteStore


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert StateManager(tmp_path / "state.db").load() is None


def test_a_finished_run_can_be_looked_at(lab: Lab) -> None:
    run = mixed(lab).run()

    state = loaded(manager(lab))

    assert {job["id"] for job in state.jobs} == set(run.results())
    assert {job["status"] for job in state.jobs} == {"succeeded", "failed"}
    assert [job["id"] for job in state.failed_jobs] == ["bad"]
    assert len(state.completed_results) == 11
    assert state.pending_jobs == []
    assert state.total_cost_usd == run.status()["cost_usd"]
    assert state.cost_limit_usd == 5
    assert all(each["status"] == "collected" for each in state.submissions)
    assert {each.job_id: each for each in state.results} == {
        job_id: replace(result) for job_id, result in all_of(run).items()
    }


def test_a_state_survives_json(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))

    text = json.dumps(state.to_dict())

    assert BatchState.from_dict(json.loads(text)) == state


def test_what_was_saved_is_what_is_loaded(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    other = StateManager(lab.folder / "new folder" / "copy.db")

    other.save(state)

    assert other.load() == state


def test_all_that_an_answer_has_beside_its_text_is_saved(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    cited = Citation(text="two minutes", source="a.txt", page=3, start=5, end=16)
    beside: dict[str, Any] = {
        "citations": [cited],
        "citation_mappings": {"items[0].name": [cited]},
        "thinking": "hm",
        "extra": {"tool_calls": [{"id": "c"}]},
    }
    state.results = [replace(each, **beside) for each in state.results]
    other = StateManager(lab.folder / "copy.db")

    other.save(state)

    for each in loaded(other).results:
        assert {name: getattr(each, name) for name in beside} == beside


def test_a_run_goes_on_from_a_saved_file_and_asks_nothing_twice(lab: Lab) -> None:
    first = all_of(mixed(lab).run())
    state = loaded(manager(lab))
    copy = lab.folder / "copy.db"
    StateManager(copy).save(state)

    again = mixed(lab).set_state(copy).add_job(prompt="one more").run()

    assert set(lab.times_billed().values()) == {1}
    assert len(again.results().completed) == 12
    assert {key: all_of(again)[key] for key in first} == first


def test_jobs_that_lost_their_results_are_asked_again(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    state.results = [each for each in state.results if each.job_id != "q3"]
    next(job for job in state.jobs if job["id"] == "q3")["status"] = "pending"
    copy = lab.folder / "copy.db"
    StateManager(copy).save(state)

    mixed(lab).set_state(copy).run()

    assert sorted(lab.times_billed().values()) == [1] * 10 + [2]
    assert {each.job_id for each in loaded(StateManager(copy)).results} >= {"q3"}


def test_batches_in_flight_are_collected_from_a_saved_file(lab: Lab, later: Later) -> None:
    lab.play(scenario=Scenario(latency_seconds=600))
    run = mixed(lab).start()
    while len(lab.ledger.batches) < 2 and not run.wait(0.02):
        continue
    assert len(loaded(manager(lab)).jobs) == 12  # beside the run
    run.stop()
    run.wait()
    state = loaded(manager(lab))
    StateManager(lab.folder / "copy.db").save(state)
    later.seconds += 700

    done = mixed(lab).set_state(lab.folder / "copy.db").run()

    assert [job["status"] for job in state.jobs].count("submitted") == 11
    assert loaded(StateManager(lab.folder / "copy.db")).pending_jobs == []
    assert len(done.results().completed) == 11
    assert set(lab.times_billed().values()) == {1}


def test_a_paid_attempt_that_was_followed_by_another_stays_part_of_the_cost(lab: Lab) -> None:
    lab.play(scenario=Scenario(items=(ItemFault(outcome="refusal", prompt="question 1", times=1),)))
    batch = lab.chat(3).set_state(lab.folder / "state.db").set_retries(retry_on=["refused"])
    run = batch.run()
    state = loaded(manager(lab))
    copy = StateManager(lab.folder / "copy.db")

    copy.save(state)

    assert [each.job_id for each in state.earlier] == ["q1"]
    assert {each.job_id: each for each in state.results} == all_of(run)
    assert state.total_cost_usd == run.status()["cost_usd"] == lab.billed_usd
    assert copy.load() == state
    assert lab.chat(3).set_state(copy.state_file).run().status()["cost_usd"] == lab.billed_usd


def test_a_job_that_failed_before_its_batch_left_is_not_said_to_be_at_the_vendor(lab: Lab) -> None:
    lab.play(scenario=Scenario(latency_seconds=600))
    run = lab.chat(2).set_state(lab.folder / "state.db").start()
    while not lab.ledger.batches and not run.wait(0.02):
        continue
    run.stop()
    run.wait()
    state = loaded(manager(lab))
    state.jobs[1]["status"] = "failed"
    state.results.append(
        JobResult(
            job_id="q1",
            status=JobStatus.FAILED,
            reason=Reason.BAD_INPUT,
            error="its file is gone",
            model=GPT,
            provider="openai",
        )
    )
    copy = StateManager(lab.folder / "copy.db")

    copy.save(state)

    assert [job["status"] for job in loaded(copy).jobs] == ["submitted", "failed"]


def test_saving_while_a_run_has_the_file_is_refused(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "state.db")
    lock.acquire()
    try:
        with pytest.raises(StateLockedError):
            StateManager(tmp_path / "state.db").save(BatchState(created_at=datetime.now(UTC)))
    finally:
        lock.release()

    assert list(tmp_path.iterdir()) == []


def test_answers_that_the_new_state_lacks_are_kept_under_another_name(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    empty = BatchState(created_at=state.created_at)

    manager(lab).save(empty)

    assert manager(lab).load() == empty
    assert StateManager(lab.folder / "state.db.1").load() == state


def test_saving_over_the_same_answers_leaves_one_file(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))

    manager(lab).save(state)

    assert manager(lab).load() == state
    assert [path.name for path in lab.folder.glob("state.db*")] == ["state.db"]


def test_a_log_that_a_killed_run_left_is_not_mixed_into_the_new_file(
    lab: Lab, tmp_path: Path
) -> None:
    import shutil

    from batchata.core.events import LimitSet
    from batchata.stores.sqlite import SQLiteStore

    store = SQLiteStore(tmp_path / "live.db")
    store.commit(LimitSet(limit=7))
    for path in tmp_path.glob("live.db*"):  # as a kill leaves them
        if not path.name.endswith((".lock", "-shm")):
            shutil.copy(path, path.with_name(path.name.replace("live", "killed")))
    store.close()
    state = BatchState(created_at=datetime(2026, 1, 2, tzinfo=UTC), cost_limit_usd=Decimal(3))

    StateManager(tmp_path / "killed.db").save(state)

    assert StateManager(tmp_path / "killed.db").load() == state
    assert not (tmp_path / "killed.db-wal").exists()


def test_clearing_moves_the_file_aside_and_says_where(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))

    aside = manager(lab).clear()

    assert aside == lab.folder / "state.db.1"
    assert manager(lab).load() is None
    assert StateManager(aside).load() == state
    assert manager(lab).clear() is None


@pytest.mark.parametrize("method", ["load", "clear"])
def test_a_file_of_anybody_elses_is_left_as_it_is(tmp_path: Path, method: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"mine": 1}')

    with pytest.raises(StateError, match="JSON"):
        getattr(StateManager(path), method)()

    assert path.read_text() == '{"mine": 1}'


def test_a_state_that_contradicts_itself_is_refused(lab: Lab) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    state.jobs[0]["status"] = "pending"

    with pytest.raises(StateError, match="its result says succeeded"):
        manager(lab).save(state)


def test_a_failed_write_changes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("batchata.stores.manager.os.fsync", full)
    with pytest.raises(StateError, match="No space left"):
        manager(lab).save(replace_limit(state))
    monkeypatch.undo()

    assert manager(lab).load() == state
    assert [path.name for path in lab.folder.glob("state.db*")] == ["state.db"]


def replace_limit(state: BatchState) -> BatchState:
    return replace(state, cost_limit_usd=Decimal(9))


def test_a_disk_that_fills_up_as_the_log_is_folded_changes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(lab).run()
    state = loaded(manager(lab))
    close = SQLiteStore.close
    readers: list[sqlite3.Connection] = []

    def unfolded(store: SQLiteStore) -> None:
        if store.path.suffix == ".part":  # with a reader the log stays, as on a full disk
            readers.append(sqlite3.connect(store.path, isolation_level=None))
            readers[0].execute("BEGIN")
            readers[0].execute("SELECT * FROM meta").fetchall()
        close(store)

    monkeypatch.setattr(SQLiteStore, "close", unfolded)
    with pytest.raises(StateError):
        manager(lab).save(replace_limit(state))
    monkeypatch.undo()
    readers[0].close()

    assert manager(lab).load() == state
    assert [path.name for path in lab.folder.glob("state.db*")] == ["state.db"]


def test_two_savers_do_not_mix(tmp_path: Path) -> None:
    states = [
        BatchState(created_at=datetime(2026, 1, 1, tzinfo=UTC), cost_limit_usd=Decimal(n))
        for n in (1, 2)
    ]

    def save(state: BatchState) -> None:
        for _ in range(5):
            try:
                StateManager(tmp_path / "state.db").save(state)
            except StateLockedError:
                continue

    threads = [threading.Thread(target=save, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert StateManager(tmp_path / "state.db").load() in states
    assert [path.name for path in tmp_path.iterdir()] == ["state.db"]


def test_a_copy_knows_the_responses_that_are_made_in_the_background(
    lab: Lab, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.play(scenario=Scenario(background_seconds=60))
    run = lab.chat(4).set_route("background").start()
    while len(lab.ledger.live) < 4:
        assert not run.wait(0.01)
    run.shutdown()
    state = StateManager(lab.state_file).load()
    assert state is not None
    copy = lab.folder / "copy.db"
    StateManager(copy).save(state)
    monkeypatch.setattr(later, "seconds", later.seconds + 61)

    resumed = BatchRun.attach(copy, providers=lab.batch().providers)
    resumed.config = replace(resumed.config, poll_factor=0.001)
    resumed.execute()

    assert resumed.status()["completed"] == len(lab.ledger.live) == 4
