"""State files of earlier releases, which were JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from run_lab import Lab
from state_lab import loaded

from batchata import BatchState, JobStatus, StateError, StateManager
from batchata.core.result import Reason

LEGACY_JOB = {
    "id": "job-2",
    "model": "gpt-6-luna",
    "messages": [{"role": "user", "content": "still to be asked"}],
    "file": None,
    "prompt": None,
    "temperature": None,
    "max_tokens": 50,
    "response_model": "Invoice",
    "enable_citations": False,
}
LEGACY_RESULT = {
    "job_id": "job-1",
    "raw_response": "hello",
    "parsed_response": {"a": 1},
    "citations": None,
    "input_tokens": 3,
    "output_tokens": 4,
    "cost_usd": 0.25,
    "error": None,
    "batch_id": "batch_1",
}


def legacy(shape: str, folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = {
        "created_at": "2025-08-01T10:00:00",
        "pending_jobs": [LEGACY_JOB],
        "failed_jobs": [{"id": "job-3", "error": "boom", "timestamp": "2025-08-01T10:01:00"}],
        "total_cost_usd": 0.25,
        "config": {"results_dir": str(folder / "out"), "state_file": "x.json"},
    }
    if shape == "active_batches":
        return data | {"completed_results": [LEGACY_RESULT], "active_batches": ["batch_9"]}
    (folder / "out").mkdir()
    (folder / "out" / "job-1.json").write_text(json.dumps(LEGACY_RESULT))
    return data | {
        "completed_results": [
            {"job_id": "job-1", "file_path": "out/job-1.json"},
            {"job_id": "job-5", "file_path": "out/job-5.json"},
        ],
        "cancelled_jobs": [{"id": "job-4", "reason": "Cancelled by user", "timestamp": None}],
    }


@pytest.mark.parametrize("shape", ["active_batches", "cancelled_jobs"])
def test_the_json_of_earlier_releases_is_read(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(legacy(shape, tmp_path)))

    state = StateManager.import_legacy(path)

    assert [each.job_id for each in state.completed_results] == ["job-1"]
    assert state.completed_results[0].parsed_response == {"a": 1}
    assert [job["id"] for job in state.pending_jobs] == ["job-2"]
    assert "job-3" in [job["id"] for job in state.failed_jobs]
    assert state.total_cost_usd == Decimal("0.25")
    assert BatchState.from_dict(json.loads(json.dumps(state.to_dict()))) == state


def test_legacy_jobs_that_were_cancelled_or_lost_say_so(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(legacy("cancelled_jobs", tmp_path)))

    state = StateManager.import_legacy(path)

    by_id = {each.job_id: each for each in state.results}
    assert by_id["job-4"].status is JobStatus.CANCELLED
    assert by_id["job-4"].reason is Reason.CANCELLED
    assert by_id["job-5"].reason is Reason.MISSING


def test_pending_legacy_jobs_run_under_their_old_ids(lab: Lab) -> None:
    path = lab.folder / "state.json"
    path.write_text(json.dumps(legacy("active_batches", lab.folder)))
    state = StateManager.import_legacy(path)

    run = lab.batch().add_jobs([job["question"] for job in state.pending_jobs]).run()

    assert run.results()["job-2"].is_success


def test_a_pending_legacy_job_cannot_be_saved_without_its_request(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(legacy("active_batches", tmp_path)))
    state = StateManager.import_legacy(path)

    with pytest.raises(StateError, match="no request body"):
        StateManager(tmp_path / "state.db").save(state)

    state.jobs = [job for job in state.jobs if job["status"] != "pending"]
    StateManager(tmp_path / "state.db").save(state)
    found = loaded(StateManager(tmp_path / "state.db"))
    assert found.jobs == state.jobs
    assert [each.raw_response for each in found.completed_results] == ["hello"]


@pytest.mark.parametrize(
    "text", ["[]", "{}", "{", '{"pending_jobs": [], "completed_results": [], "failed_jobs": []}']
)
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)

    with pytest.raises(StateError):
        StateManager.import_legacy(path)
