"""Answers kept beyond a run, by what was asked; shared by runs and processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from batchata.core.events import Event, OutcomesRecorded
from batchata.core.fingerprint import Fingerprints, fingerprints, strict_fingerprint
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape
from batchata.stores.sqlite_file import FileKind, SqliteFile

_KIND: Final = FileKind(
    name="answer cache",
    application_id=0x62746363,  # "btcc"
    version=1,
    instead=".set_cache('./answers.db')",
    durability="NORMAL",  # a lost entry is asked again, no more
    tables="""
CREATE TABLE IF NOT EXISTS answers (
    n INTEGER PRIMARY KEY, strict BLOB NOT NULL UNIQUE, but_params BLOB NOT NULL,
    but_prompt BLOB NOT NULL, created_us INTEGER, finish_reason TEXT, model TEXT,
    request_id TEXT, text TEXT, parsed BLOB, extra BLOB);
CREATE INDEX IF NOT EXISTS by_params ON answers (but_params);
CREATE INDEX IF NOT EXISTS by_prompt ON answers (but_prompt);
""",
)
_ADD: Final = (
    "INSERT INTO answers (strict, but_params, but_prompt, created_us, finish_reason, model, "
    "request_id, text, parsed, extra) VALUES (?,?,?,?,?,?,?,?,?,?) "
    "ON CONFLICT (strict) DO UPDATE SET created_us=excluded.created_us, text=excluded.text, "
    "finish_reason=excluded.finish_reason, model=excluded.model, parsed=excluded.parsed, "
    "request_id=excluded.request_id, extra=excluded.extra"
)
_COLUMN: Final = {"strict": "strict", "ignore_params": "but_params", "ignore_prompt": "but_prompt"}
#: how answers end that are worth keeping: not cut, not refused, not filtered
_WHOLE: Final = frozenset({"stop", "tool_calls"})


class AnswerCache:
    """One SQLite file; only whole, valid answers go in, and none is ever changed by a reader.

    Raises StateError when the file cannot be used. With `read_only` it must be there, and stays
    as it is.
    """

    def __init__(self, path: Path, reuse: str, *, read_only: bool = False) -> None:
        self._file = SqliteFile(path, _KIND, read_only=read_only)
        self._reuse = reuse
        #: answers of this run's own jobs are not for others of them, however late these come
        self._last = self._file.rows("SELECT coalesce(max(n), 0) FROM answers", ())[0][0]

    def find(self, shape: Shape, body: bytes, seq: int, now_us: int) -> Outcome | None:
        """The outcome of a job whose question was answered before the run; it costs nothing."""
        if self._reuse == "fresh":
            return None
        if self._reuse == "strict":
            key = strict_fingerprint(shape, body)
        else:
            key = fingerprints(shape, body)[tuple(_COLUMN).index(self._reuse)]
        rows = self._file.rows(
            "SELECT finish_reason, model, request_id, text, parsed, extra FROM answers "
            f"WHERE {_COLUMN[self._reuse]}=? AND n<=? ORDER BY n DESC LIMIT 1",
            (key, self._last),
        )
        if not rows:
            return None
        row = rows[0]
        return Outcome(
            seq=seq,
            status=JobStatus.SUCCEEDED,
            attempt=0,
            finish_reason=row[0],
            model=row[1],
            request_id=row[2],
            text=row[3],
            parsed=row[4],
            extra=row[5],
            finished_us=now_us,
        )

    def keep(self, answers: Sequence[tuple[Fingerprints, Outcome]]) -> None:
        """Put answers in, all or none."""
        rows = [
            (
                *keys,
                each.finished_us,
                each.finish_reason,
                each.model,
                each.request_id,
                each.text,
                each.parsed,
                each.extra,
            )
            for keys, each in answers
        ]
        self._file.write_all(_ADD, rows)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class CacheFeeder:
    """Puts a run's whole answers into the cache as they are committed."""

    def __init__(
        self,
        cache: AnswerCache,
        shape: Callable[[int], Shape],
        bodies: Callable[[Sequence[int]], Sequence[bytes]],
    ) -> None:
        self._cache = cache
        self._shape = shape
        self._bodies = bodies

    def emit(self, event: Event) -> None:
        """Keep the answers that this event brought."""
        if not isinstance(event, OutcomesRecorded):
            return
        whole = [
            each
            for each in event.outcomes
            if each.status is JobStatus.SUCCEEDED and each.finish_reason in _WHOLE and each.attempt
        ]
        if not whole:
            return
        bodies = self._bodies([each.seq for each in whole])
        self._cache.keep(
            [
                (fingerprints(self._shape(each.seq), body), each)
                for each, body in zip(whole, bodies, strict=True)
            ]
        )
