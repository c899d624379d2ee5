"""The tables of the state file, and how values become rows."""

from __future__ import annotations

import sqlite3
from array import array
from typing import Any, Final

from batchata.core.document import Attachment
from batchata.core.result import Reason
from batchata.core.status import CODES, STATUSES, SubmissionStatus
from batchata.core.submission import JobRow, Outcome, Shape, Submission
from batchata.core.upload import Upload, UploadStatus
from batchata.core.usage import Usage

#: "btca": tells our files from other SQLite databases
APPLICATION_ID: Final = 0x62746361
VERSION: Final = 2

#: answers and bodies are apart from the narrow rows, so that counting a million jobs reads little
TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE shapes (
    n INTEGER PRIMARY KEY, provider TEXT, endpoint TEXT, model TEXT, wire_version TEXT,
    schema TEXT, schema_name TEXT, citations INTEGER);  -- 1: the vendor's, 2: by quotes
CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, shape INTEGER NOT NULL, key BLOB,
    size_bytes INTEGER, input_bound INTEGER, output_bound INTEGER, cost_bound INTEGER,
    metadata BLOB);
CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE attachments (
    seq INTEGER NOT NULL, name TEXT, media_type TEXT, sha256 TEXT, size_bytes INTEGER, path TEXT);
CREATE INDEX attachments_by_seq ON attachments (seq);
CREATE TABLE submissions (
    n INTEGER PRIMARY KEY, token TEXT NOT NULL, provider TEXT, endpoint TEXT, model TEXT,
    wire_version TEXT, seqs BLOB NOT NULL, status INTEGER NOT NULL, intended_us INTEGER,
    input_tokens INTEGER, size_bytes INTEGER, remote_id TEXT, input_ref TEXT,
    sent_us INTEGER, accepted_us INTEGER, note TEXT, route TEXT NOT NULL);
CREATE TABLE outcomes (
    n INTEGER PRIMARY KEY, seq INTEGER NOT NULL, status INTEGER NOT NULL,
    attempt INTEGER NOT NULL, sub INTEGER, reason TEXT, cost INTEGER NOT NULL,
    input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER,
    cache_write_1h INTEGER, reasoning INTEGER, web_searches INTEGER, finished_us INTEGER,
    uncertain INTEGER NOT NULL);
CREATE INDEX outcomes_invalid ON outcomes (seq) WHERE reason='invalid_answer';
CREATE TABLE answers (
    n INTEGER PRIMARY KEY, error TEXT, finish_reason TEXT, model TEXT, request_id TEXT,
    text TEXT, parsed BLOB, extra BLOB);
"""

UPLOADS: Final = """
CREATE TABLE uploads (
    token TEXT PRIMARY KEY, provider TEXT, purpose TEXT, name TEXT, sha256 TEXT,
    size_bytes INTEGER, status INTEGER NOT NULL, intended_us INTEGER, file_id TEXT,
    expires_us INTEGER);
"""
#: what makes a file of this version of one that has the version before it
STEPS: Final = (TABLES, UPLOADS)

ADD_UPLOAD: Final = "INSERT INTO uploads VALUES (?,?,?,?,?,?,?,?,?,?)"
MOVE_UPLOAD: Final = (
    "UPDATE uploads SET status=?, file_id=coalesce(?,file_id), "
    "expires_us=coalesce(?,expires_us) WHERE token=?"
)
ADD_SHAPE: Final = "INSERT INTO shapes VALUES (?,?,?,?,?,?,?,?)"
#: `nullif(?,0)`: Python's sqlite3 takes as long for one None as for a row of numbers, so a 0 goes
#: in for the None of a column that has no numbers
ADD_JOB: Final = "INSERT OR REPLACE INTO jobs VALUES (?,?,?,nullif(?,0),?,?,?,?,nullif(?,0))"
ADD_BODY: Final = "INSERT OR REPLACE INTO bodies VALUES (?,?)"
ADD_ATTACHMENT: Final = "INSERT INTO attachments VALUES (?,?,?,?,?,?)"
DROP_ATTACHMENTS: Final = "DELETE FROM attachments WHERE seq=?"
ADD_SUBMISSION: Final = "INSERT INTO submissions VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
ADD_OUTCOME: Final = "INSERT INTO outcomes VALUES (?,?,?,?,?,nullif(?,0),?,?,?,?,?,?,?,?,?,?)"
ADD_ANSWER: Final = "INSERT INTO answers VALUES (?,nullif(?,0),?,?,?,?,nullif(?,0),nullif(?,0))"
MOVE_SUBMISSION: Final = (
    "UPDATE submissions SET status=?, remote_id=coalesce(?,remote_id), "
    "input_ref=coalesce(?,input_ref), sent_us=coalesce(?,sent_us), "
    "accepted_us=coalesce(?,accepted_us), note=coalesce(?,note) WHERE n=?"
)
REBOUND_JOB: Final = "UPDATE jobs SET size_bytes=?, input_bound=?, cost_bound=? WHERE seq=?"
METADATA: Final = "SELECT seq, metadata FROM jobs WHERE metadata NOT NULL AND seq IN ({marks})"
#: every answer of these jobs that did not fit, the newest last
REFUSED: Final = (
    "SELECT o.seq, a.text, a.error FROM outcomes o JOIN answers a ON a.n=o.n "
    "WHERE o.reason='invalid_answer' AND o.seq IN ({marks}) ORDER BY o.n"
)
RESULTS: Final = (
    "SELECT o.n, o.seq, j.id, j.shape, o.status, o.attempt, o.sub, o.reason, o.cost, o.input, "
    "o.output, o.cache_read, o.cache_write, o.cache_write_1h, o.reasoning, o.web_searches, "
    "o.finished_us, a.error, a.finish_reason, a.model, a.request_id, a.text, a.parsed, a.extra, "
    "j.metadata, o.uncertain "
    "FROM outcomes o JOIN jobs j ON j.seq=o.seq LEFT JOIN answers a ON a.n=o.n "
)
#: every outcome of these jobs, the newest last
OUTCOMES_OF: Final = RESULTS + "WHERE o.seq IN ({marks}) ORDER BY o.n"


def shape_row(number: int, shape: Shape) -> tuple[Any, ...]:
    """A shape as its row."""
    return (
        number,
        shape.provider,
        shape.endpoint,
        shape.model,
        shape.wire_version,
        shape.schema,
        shape.schema_name,
        int(shape.citations) | int(shape.quotes) << 1,
    )


def shape_of(row: tuple[Any, ...]) -> Shape:
    """A shape from its row."""
    return Shape(
        provider=row[1],
        endpoint=row[2],
        model=row[3],
        wire_version=row[4],
        schema=row[5],
        schema_name=row[6],
        citations=bool(row[7] & 1),
        quotes=bool(row[7] & 2),
    )


def job_row(row: JobRow) -> tuple[Any, ...]:
    """A job as its narrow row."""
    return (
        row.seq,
        row.id,
        row.shape,
        row.key or 0,
        row.size_bytes,
        row.input_bound,
        row.output_bound,
        row.cost_bound,
        row.metadata or 0,
    )


def attachment_rows(row: JobRow) -> list[tuple[Any, ...]]:
    """The files that a job's body only marks, as their rows."""
    return [
        (row.seq, each.name, each.media_type, each.sha256, each.size_bytes, each.path)
        for each in row.attachments
    ]


def attachment_of(row: tuple[Any, ...]) -> Attachment:
    """An attachment from its row."""
    return Attachment(name=row[1], media_type=row[2], sha256=row[3], size_bytes=row[4], path=row[5])


def upload_row(each: Upload) -> tuple[Any, ...]:
    """An upload as its row."""
    return (
        each.token,
        each.provider,
        each.purpose,
        each.name,
        each.sha256,
        each.size_bytes,
        int(each.status),
        each.intended_us,
        each.file_id,
        each.expires_us,
    )


def uploads_of(db: sqlite3.Connection) -> list[Upload]:
    """All uploads of a state file, oldest first; files of version 1 have none."""
    if db.execute("PRAGMA user_version").fetchone()[0] < 2:
        return []
    return [
        Upload(
            token=row[0],
            provider=row[1],
            purpose=row[2],
            name=row[3],
            sha256=row[4],
            size_bytes=row[5],
            status=UploadStatus(row[6]),
            intended_us=row[7],
            file_id=row[8],
            expires_us=row[9],
        )
        for row in db.execute("SELECT * FROM uploads ORDER BY rowid")
    ]


def submission_row(number: int, each: Submission) -> tuple[Any, ...]:
    """A submission as its row; its jobs take four bytes each."""
    return (
        number,
        each.token,
        each.provider,
        each.endpoint,
        each.model,
        each.wire_version,
        array("I", each.seqs).tobytes(),
        int(each.status),
        each.intended_us,
        each.input_tokens,
        each.size_bytes,
        each.remote_id,
        each.input_ref,
        each.sent_us,
        each.accepted_us,
        each.note,
        each.route,
    )


def submission_of(row: tuple[Any, ...]) -> Submission:
    """A submission from its row."""
    seqs = array("I")
    seqs.frombytes(row[6])
    return Submission(
        token=row[1],
        provider=row[2],
        endpoint=row[3],
        model=row[4],
        wire_version=row[5],
        seqs=seqs,
        status=SubmissionStatus(row[7]),
        intended_us=row[8],
        input_tokens=row[9],
        size_bytes=row[10],
        remote_id=row[11],
        input_ref=row[12],
        sent_us=row[13],
        accepted_us=row[14],
        note=row[15],
        route=row[16],
    )


def outcome_row(number: int, sub: int | None, outcome: Outcome) -> tuple[Any, ...]:
    """An outcome as its narrow row."""
    usage = outcome.usage
    return (
        number,
        outcome.seq,
        CODES[outcome.status],
        outcome.attempt,
        sub,
        outcome.reason or 0,
        outcome.cost,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.reasoning_tokens,
        usage.web_searches,
        outcome.finished_us,
        outcome.uncertain,
    )


def answer_row(number: int, outcome: Outcome) -> tuple[Any, ...]:
    """What an outcome says in words, as its row."""
    return (
        number,
        0 if outcome.error is None else outcome.error,
        outcome.finish_reason,
        outcome.model,
        outcome.request_id,
        outcome.text,
        outcome.parsed or 0,
        outcome.extra or 0,
    )


def outcome_of(row: tuple[Any, ...], token: str | None) -> Outcome:
    """An outcome from a row of RESULTS."""
    return Outcome(
        seq=row[1],
        status=STATUSES[row[4]],
        attempt=row[5],
        token=token,
        reason=Reason(row[7]) if row[7] else None,
        cost=row[8],
        usage=Usage(row[9], row[10], row[11], row[12], row[14], row[13], row[15]),
        finished_us=row[16],
        error=row[17],
        finish_reason=row[18],
        model=row[19],
        request_id=row[20],
        text=row[21],
        parsed=row[22],
        extra=row[23],
        uncertain=row[25],
    )
