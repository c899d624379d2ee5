"""State files of earlier releases: JSON, in two shapes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.errors import StateError
from batchata.core.result import JobResult, Reason
from batchata.core.status import JobStatus
from batchata.stores.snapshot import BatchState

_NEEDED: Final = frozenset({"pending_jobs", "completed_results", "failed_jobs"})
#: one of them tells the two shapes from any other JSON
_EITHER: Final = frozenset({"active_batches", "cancelled_jobs"})
_REASONS: Final = (
    ("Cost limit exceeded", Reason.COST_LIMIT),
    ("Time limit exceeded", Reason.TIME_LIMIT),
    ("Cancelled by user", Reason.CANCELLED),
)


def read_legacy(path: Path) -> BatchState:
    """The state in such a file; StateError for any other file."""
    data = _json(path)
    if not isinstance(data, dict) or not data.keys() >= _NEEDED or not data.keys() & _EITHER:
        raise StateError(
            f"{str(path)!r} is not a state file of an earlier release",
            hint="its JSON has 'pending_jobs', 'completed_results' and 'failed_jobs'",
        )
    try:
        return _state(data, path)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateError(
            f"the state file {str(path)!r} cannot be read: {type(error).__name__}: {error}",
            hint="restore a copy of it",
        ) from error


def _json(path: Path) -> Any:
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise StateError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise StateError(f"{str(path)!r} is not JSON: {error}") from error


def _state(data: Mapping[str, Any], path: Path) -> BatchState:
    results = [_completed(each, data, path) for each in data["completed_results"]]
    results += [
        _ended(each["id"], JobStatus.FAILED, each.get("error"), each.get("timestamp"))
        for each in data["failed_jobs"]
    ]
    results += [
        _ended(each["id"], JobStatus.CANCELLED, each.get("reason"), each.get("timestamp"))
        for each in data.get("cancelled_jobs", ())
    ]
    known = {each.job_id: each for each in results}  # the last word on a job named twice
    pending = [each for each in data["pending_jobs"] if each["id"] not in known]
    return BatchState(
        created_at=_moment(data["created_at"]) or datetime.fromtimestamp(0, UTC),
        jobs=[_ended_job(each) for each in known.values()] + [_pending_job(job) for job in pending],
        results=list(known.values()),
    )


def _completed(entry: Mapping[str, Any], data: Mapping[str, Any], path: Path) -> JobResult:
    if "file_path" not in entry:
        return JobResult.from_dict(entry)
    named = Path(entry["file_path"])
    folder = Path(str(data.get("config", {}).get("results_dir") or "."))
    for place in (named, path.parent / named, folder / named.name, path.parent / named.name):
        if place.is_file():
            return JobResult.from_dict(_json(place))
    why = f"its result file {str(named)!r} is missing"
    return _ended(entry["job_id"], JobStatus.FAILED, why, None, Reason.MISSING)


def _ended(
    job_id: str, status: JobStatus, said: str | None, at: str | None, reason: Reason | None = None
) -> JobResult:
    said = said or str(status)
    found = (each for words, each in _REASONS if words in said)
    return JobResult(
        job_id=job_id,
        status=status,
        error=said,
        reason=reason or next(found, None),
        finished_at=_moment(at),
    )


def _moment(text: str | None) -> datetime | None:
    """Aware UTC; the earlier releases wrote local time."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _ended_job(result: JobResult) -> dict[str, Any]:
    return _job(result.job_id, result.model, result.status)


def _pending_job(job: Mapping[str, Any]) -> dict[str, Any]:
    question = {
        name: value
        for name, value in job.items()
        if value is not None and name != "response_model"  # kept as a bare name: no schema
    }
    return {**_job(job["id"], job["model"], JobStatus.PENDING), "question": question}


def _job(job_id: str, model: str, status: JobStatus) -> dict[str, Any]:
    return {
        "id": job_id,
        "model": model,
        "provider": "",
        "endpoint": "",
        "status": status.value,
        "attempts": 0,
        "body": None,
        "metadata": None,
        "wire_version": "",
        "schema": None,
        "schema_name": None,
        "citations": False,
        "verify_quotes": False,
        "key": None,
        "input_bound": 0,
        "output_bound": 0,
        "cost_bound_usd": "0",
        "attachments": [],
    }
