"""A BatchState from a state file: one consistent look, also while a run writes to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.assemble import job_result, moment
from batchata.core.result import JobResult
from batchata.core.status import JobStatus, SubmissionStatus
from batchata.core.submission import Shape, Submission
from batchata.core.upload import Upload
from batchata.core.usage import from_parts
from batchata.stores import schema
from batchata.stores.files import check_file, disk_error
from batchata.stores.snapshot import BatchState, money_text

CREATED: Final = "created_us"  #: key of `meta`
_JOBS: Final = (
    "SELECT j.seq, j.id, j.shape, j.key, j.input_bound, j.output_bound, j.cost_bound, j.metadata, "
    "b.body FROM jobs j LEFT JOIN bodies b ON b.seq=j.seq ORDER BY j.seq"
)


def read_state(path: Path) -> BatchState:
    """Everything the file holds; StateError when it cannot be read."""
    check_file(path, must_exist=True)
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)) as db:
            db.execute("BEGIN")  # every select below sees the same moment
            return _Reading(db, path).state()
    except sqlite3.Error as error:
        raise disk_error(path, error) from error


class _Reading:
    """One pass over the tables."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._shapes = [
            schema.shape_of(row) for row in db.execute("SELECT * FROM shapes ORDER BY n")
        ]
        self._submissions: dict[int, Submission] = {
            row[0]: schema.submission_of(row)
            for row in db.execute("SELECT * FROM submissions ORDER BY n")
        }
        self._last: dict[int, int] = dict(
            db.execute("SELECT seq, max(n) FROM outcomes GROUP BY seq")
        )
        self._attachments: dict[int, list[dict[str, Any]]] = {}
        for row in db.execute("SELECT * FROM attachments"):
            self._attachments.setdefault(row[0], []).append(asdict(schema.attachment_of(row)))
        self._status: dict[int, JobStatus] = {}
        self._attempts: dict[int, int] = {}

    def state(self) -> BatchState:
        earlier, results = self._results()
        self._mark_submitted()
        ended = {seq for seq, status in self._status.items() if status.is_final}
        rows = self._db.execute(_JOBS).fetchall()
        names = {row[0]: row[1] for row in rows}
        limit = self._meta("limit")
        return BatchState(
            created_at=self._created(),
            jobs=[self._job(row) for row in rows],
            submissions=[_submission(each, names) for each in self._submissions.values()],
            results=[each for seq, each in results if seq in ended],
            earlier=[*earlier, *(each for seq, each in results if seq not in ended)],
            cost_limit_usd=None if limit is None else from_parts(limit),
            uploads=[_upload(each) for each in schema.uploads_of(self._db)],
        )

    def _results(self) -> tuple[list[JobResult], list[tuple[int, JobResult]]]:
        """Attempts followed by another one, and the last ones with their jobs."""
        earlier: list[JobResult] = []
        last: list[tuple[int, JobResult]] = []
        paid: dict[int, int] = {}
        for row in self._db.execute(schema.RESULTS + "ORDER BY o.n"):
            number, seq = row[0], row[1]
            submission = self._submissions.get(row[6])
            outcome = schema.outcome_of(row, submission.token if submission else None)
            shape = self._shapes[row[3]]
            is_last = self._last[seq] == number
            before = paid.get(seq, 0) if is_last and outcome.status.is_final else 0
            paid[seq] = paid.get(seq, 0) + outcome.cost
            result = job_result(
                outcome, row[2], row[3], shape, submission, row[24], _bind_nothing, before
            )
            if not is_last:
                earlier.append(result)
                continue
            last.append((seq, result))
            self._status[seq] = outcome.status
            self._attempts[seq] = outcome.attempt
        return earlier, last

    def _mark_submitted(self) -> None:
        """Jobs of open submissions that no later outcome is about."""
        outcome_of: dict[int, int] = dict(
            self._db.execute("SELECT seq, coalesce(max(sub),0) FROM outcomes GROUP BY seq")
        )
        for number, each in self._submissions.items():
            if each.status.is_open:
                for seq in each.seqs:
                    if outcome_of.get(seq, 0) < number:
                        self._status[seq] = JobStatus.SUBMITTED

    def _job(self, row: tuple[Any, ...]) -> dict[str, Any]:
        seq, job_id, number, key, input_bound, output_bound, cost_bound, metadata, body = row
        shape: Shape = self._shapes[number]
        return {
            "id": job_id,
            "model": shape.model,
            "provider": shape.provider,
            "endpoint": shape.endpoint,
            "status": self._status.get(seq, JobStatus.PENDING).value,
            "attempts": self._attempts.get(seq, 0),
            "body": orjson.loads(body) if body else None,
            "metadata": orjson.loads(metadata) if metadata else None,
            "wire_version": shape.wire_version,
            "schema": shape.schema,
            "schema_name": shape.schema_name,
            "citations": shape.citations,
            "verify_quotes": shape.quotes,
            "key": key.hex() if key else None,
            "input_bound": input_bound,
            "output_bound": output_bound,
            "cost_bound_usd": money_text(from_parts(cost_bound)),
            "attachments": self._attachments.get(seq, []),
        }

    def _created(self) -> datetime:
        known = self._meta(CREATED)
        if known is None:
            known = self._db.execute(
                "SELECT min(t) FROM (SELECT min(intended_us) AS t FROM submissions "
                "UNION SELECT min(finished_us) FROM outcomes WHERE finished_us>0)"
            ).fetchone()[0]
        found = moment(known)
        return found or datetime.fromtimestamp(self._path.stat().st_mtime, UTC)

    def _meta(self, key: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return row[0] if row else None


def _bind_nothing(number: int) -> None:
    return None


def _submission(each: Submission, names: dict[int, str]) -> dict[str, Any]:
    return {
        "token": each.token,
        "provider": each.provider,
        "endpoint": each.endpoint,
        "model": each.model,
        "wire_version": each.wire_version,
        "status": SubmissionStatus(each.status).name.lower(),
        "batch_id": each.remote_id,
        "input_ref": each.input_ref,
        "intended_at": _iso(each.intended_us),
        "sent_at": _iso(each.sent_us),
        "accepted_at": _iso(each.accepted_us),
        "input_tokens": each.input_tokens,
        "size_bytes": each.size_bytes,
        "note": each.note,
        "route": each.route,
        "job_ids": [names[seq] for seq in each.seqs],
    }


def _upload(each: Upload) -> dict[str, Any]:
    return {
        "token": each.token,
        "provider": each.provider,
        "purpose": each.purpose,
        "name": each.name,
        "sha256": each.sha256,
        "size_bytes": each.size_bytes,
        "status": each.status.name.lower(),
        "file_id": each.file_id,
        "intended_at": _iso(each.intended_us),
        "expires_at": _iso(each.expires_us),
    }


def _iso(microseconds: int | None) -> str | None:
    found = moment(microseconds)
    return found.isoformat() if found else None
