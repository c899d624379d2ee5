"""Gets rows answered: from the cache, then in packs, then doubtful rows alone; all are kept."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from batchata.batch import Batch
from batchata.core.errors import RunError, StateLockedError
from batchata.core.job import Job, check_number
from batchata.core.parse import value_of
from batchata.core.status import JobStatus
from batchata.core.template import text_of
from batchata.frames.asking import Asking
from batchata.frames.cache import SqliteCache
from batchata.frames.cache_writer import CacheWriter
from batchata.frames.packs import Row, RowAnswer, pack
from batchata.frames.unfinished_run import remove, settle
from batchata.run import BatchRun
from batchata.sdk.display import print_line
from batchata.sinks.wording import plural
from batchata.stores.lock import RunLock

Reuse = Literal["strict", "ignore_prompt", "fresh"]
#: the texts of rows, by number
Texts = Callable[[Sequence[int]], Sequence[Any]]
_PACKS_AT_ONCE: Final = 500
#: seconds between writes of answers to the cache during a run
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionOptions:
    """What to ask about each row, whom to ask, and when to use an answer from the cache."""

    asking: Asking
    connect: Callable[[Path], Batch]  #: a batch without jobs that keeps its state in this file
    rows_per_request: int
    reuse: Reuse
    print_status: bool

    def __post_init__(self) -> None:
        check_number("chunk_size", self.rows_per_request, least=1, whole=True)


class Extraction:
    """One answer for each row; whatever is paid for is in the cache before it is reported."""

    def __init__(self, options: ExtractionOptions, cache: SqliteCache, texts: Texts) -> None:
        self._options = options
        self._asking = options.asking
        self._cache = cache
        self._texts = texts
        self._run_file = cache.db_path.with_name(cache.db_path.name + ".run")
        self._answers: dict[int, str] = {}  #: as text, a fifth of their size when parsed
        self._failures: dict[int, RowAnswer] = {}
        self.old_matches = 0  #: answers from old files, whose model and text are unknown

    def recall(self, rows: Sequence[Row]) -> list[Row]:
        """Use what the cache knows; returns the rows that must be asked."""
        if self._options.reuse == "fresh":
            return list(rows)
        wanted: dict[str, list[Row]] = {}
        for row in rows:
            wanted.setdefault(row.id, []).append(row)
        prompt_hash = self._asking.prompt_hash
        exact: set[int] = set()
        best: dict[int, str] = {}
        for entry in self._cache.find(wanted):
            mine = wanted[entry.row_id]
            is_prompt = self._options.reuse != "strict" or entry.prompt_hash == prompt_hash
            for row in mine:
                if not is_prompt or entry.key not in (row.key, None):
                    continue
                if entry.key is not None:
                    exact.add(row.number)
                elif row.number in exact or len(mine) > 1:
                    continue
                best[row.number] = entry.json_result
        self._answers.update(best)
        self.old_matches += len(best) - len(exact)
        return [row for row in rows if row.number not in best]

    def ask(self, rows: Sequence[Row]) -> None:
        """Ask about these rows; StateLockedError when another process asks for this cache."""
        with self._locked():
            if self._run_file.exists():
                self._say("taking over what an interrupted call had asked")
                batch = self._options.connect(self._run_file)
                settle(
                    self._run_file,
                    batch,
                    self._cache,
                    self._asking,
                    print_status=self._options.print_status,
                )
                rows = self.recall(rows)
            if not rows:
                return
            size = self._options.rows_per_request
            if len(rows) > size > 1:
                self._say(f"asking about {len(rows):,} rows, {size} to a job")
            again = self._round(pack(rows, size), "p")
            if again:
                alone = [[row] for row in sorted(again)]
                self._say(f"asking again about {plural(len(alone), 'row')}, each alone")
                self._round(alone, "a")
            remove(self._run_file)

    def answer(self, number: int) -> RowAnswer:
        """How a row ended."""
        text = self._answers.get(number)
        if text is not None:
            return RowAnswer(JobStatus.SUCCEEDED.value, value_of(text.encode()))
        unasked = RowAnswer(JobStatus.PENDING.value, None, "it was not asked")
        return self._failures.get(number, unasked)

    def _say(self, line: str) -> None:
        if self._options.print_status:
            print_line(line)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        lock = RunLock(self._cache.db_path)
        try:
            lock.acquire()
        except StateLockedError as error:
            raise StateLockedError(
                error.message.replace("state file", "cache"),
                hint="wait for that run: its answers are then in the cache, and not paid for twice",
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _round(self, packs: Iterable[Sequence[Row]], prefix: str) -> list[Row]:
        """Ask about these packs; returns the rows to ask again, each alone."""
        asked: list[Sequence[Row]] = []
        writer = CacheWriter(
            self._asking,
            self._cache,
            asked,
            prefix=prefix,
            answers=self._answers,
            failures=self._failures,
        )
        batch = self._options.connect(self._run_file)
        jobs = self._jobs(packs, prefix, asked)
        run = BatchRun(batch.config, jobs, providers=batch.providers, watcher=writer.hear)
        run.set_on_progress(lambda *_: writer.take_new(), interval=_LOOK_SECONDS)
        try:
            run.execute(print_status=self._options.print_status)
        except BaseException:
            with contextlib.suppress(RunError):  # it may not have begun
                writer.finish(run)
                remove(self._run_file)
            raise
        return writer.finish(run)

    def _jobs(
        self, packs: Iterable[Sequence[Row]], prefix: str, asked: list[Sequence[Row]]
    ) -> Iterator[Job]:
        """A job for each pack; texts are read a few at a time and not kept."""
        packs = iter(packs)
        while group := list(islice(packs, _PACKS_AT_ONCE)):
            texts = iter(self._texts([row.number for rows in group for row in rows]))
            for rows in group:
                job_id = f"{prefix}{len(asked)}"
                asked.append(rows)
                told = [row._replace(text=text_of(next(texts))) for row in rows]
                yield self._asking.job(job_id, told)


def keyed(asking: Asking, rows: Iterable[tuple[int, str, str]]) -> list[Row]:
    """Rows with their keys but without their texts, from (number, id, text)."""
    first: dict[str, Row] = {}
    again: Counter[tuple[str, bytes]] = Counter()  #: of rows whose id occurred before
    made = []
    for number, row_id, text in rows:
        row = Row(number, row_id, "", asking.key(text))
        earlier = first.setdefault(row_id, row)
        if earlier is not row:
            occurrence = again[row_id, row.key] + (earlier.key == row.key)
            again[row_id, row.key] += 1
            row = row._replace(key=asking.key(text, occurrence))
        made.append(row)
    return made
