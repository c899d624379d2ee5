"""Writes a report from a state file, a few results at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import orjson

from batchata.core.errors import ResultsError
from batchata.core.request_content import RequestContent, content_of
from batchata.core.result import JobResult
from batchata.core.status import STATUSES, JobStatus
from batchata.core.usage import from_parts
from batchata.disk.atomic import atomic_file
from batchata.report.page import GENERATOR, data_block, head_and_foot
from batchata.report.pages import Pages
from batchata.report.passages import Viewer
from batchata.report.rows import Names, detail_of, row_of
from batchata.report.tally import Tally
from batchata.stores.reader import ResultReader
from batchata.stores.sqlite import SQLiteStore

MOST_RESULTS: Final = 10_000
MOST_PICTURES: Final = 24
_GROUP: Final = 200
_HEAD_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What goes into a report."""

    title: str | None = None  #: the name of the run if None
    limit: int = MOST_RESULTS  #: results shown; totals and charts always count all of them
    pictures: int = MOST_PICTURES  #: pages drawn, if pypdfium2 is installed
    reads_files: bool = True  #: look up passages in PDFs, if they are still where they were


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    results: int
    left_out: int
    size_bytes: int
    pictures: int
    pictures_left_out: int


def write_report(state_file: Path, output: Path, options: Options | None = None) -> Written:
    """Write one HTML file about a run, whole or not at all.

    Only reads the state file, so that a run may go on meanwhile. An earlier report is replaced;
    raises ResultsError when `output` is any other file.
    """
    check_output(output)
    options = options or Options()
    with (
        closing(ResultReader(state_file)) as reader,
        closing(SQLiteStore(state_file, read_only=True)) as store,
        atomic_file(output) as part,
        part.open("wb") as file,
    ):
        return _Report(reader, store, file, options).write(options.title or _name(state_file))


def check_output(output: Path) -> None:
    """Raise ResultsError when a report cannot be written there."""
    if not output.parent.is_dir():
        raise ResultsError(
            f"there is no folder {str(output.parent)!r}", hint="make it, or name another --output"
        )
    if not output.exists():
        return
    with output.open("rb") as file:
        is_ours = GENERATOR.encode() in file.read(_HEAD_BYTES)
    if not is_ours:
        raise ResultsError(
            f"{str(output)!r} exists and is not a report, so it is not overwritten",
            hint="give another name to --output",
        )


class _Report:
    def __init__(
        self, reader: ResultReader, store: SQLiteStore, file: IO[bytes], options: Options
    ) -> None:
        self._reader = reader
        self._store = store
        self._file = file
        self._options = options
        self._pages = Pages(pictures=options.pictures)
        self._viewer = Viewer(self._pages)
        self._tally = Tally()
        self._models, self._reasons = Names(), Names()

    def write(self, title: str) -> Written:
        head, foot = head_and_foot(title)
        self._file.write(head)
        shown = self._chosen()
        total = self._blocks(shown)
        self._file.write(data_block("summary", self._summary(len(shown))))
        self._file.write(foot)
        pictures = len(self._pages.pictures)
        return Written(
            len(shown),
            total - len(shown),
            self._file.tell(),
            pictures,
            self._pages.asked - pictures,
        )

    def _chosen(self) -> frozenset[int]:
        """The jobs that are shown; if not all fit, those that went wrong come first."""
        wrong = [status for status in STATUSES if status is not JobStatus.SUCCEEDED]
        order = chain(self._reader.seqs(*wrong), self._reader.seqs(JobStatus.SUCCEEDED))
        return frozenset(islice(order, self._options.limit))

    def _blocks(self, shown: frozenset[int]) -> int:
        total = 0
        seqs = self._reader.seqs()
        while group := list(islice(seqs, _GROUP)):
            total += len(group)
            results = list(self._reader.read(group))
            for result in results:
                self._tally.add(result)
            kept = [pair for pair in zip(group, results, strict=True) if pair[0] in shown]
            if kept:
                self._block([seq for seq, _ in kept], [result for _, result in kept])
        return total

    def _block(self, seqs: Sequence[int], results: Sequence[JobResult]) -> None:
        rows: list[list[Any]] = []
        details: list[dict[str, Any]] = []
        first_picture = len(self._pages.pictures)
        for result, asked in zip(results, self._asked(seqs), strict=True):
            detail = detail_of(result, asked, self._viewer)
            details.append(detail)
            rows.append(row_of(result, detail, self._models, self._reasons))
        self._file.write(data_block("rows", rows))
        self._file.write(data_block("details", details))
        for picture in self._pages.pictures[first_picture:]:
            self._file.write(data_block("picture", picture._asdict()))

    def _asked(self, seqs: Sequence[int]) -> Iterator[RequestContent]:
        attachments = self._store.attachments(seqs) if self._options.reads_files else {}
        for seq, body in zip(seqs, self._store.bodies(seqs), strict=True):
            yield content_of(orjson.loads(body) if body else None, attachments.get(seq, ()))

    def _summary(self, shown: int) -> dict[str, Any]:
        limit = self._store.meta("limit")
        limit_usd = None if limit is None else from_parts(int(limit))
        return {
            **self._tally.summary(self._reader.state, limit_usd),
            "shown": shown,
            "model_names": self._models.names,
            "reason_names": self._reasons.names,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "pictures_left": self._pages.asked - len(self._pages.pictures),
        }


def _name(state_file: Path) -> str:
    """The folder's name for `reviews-results/state.db`, else the file's."""
    path = state_file.absolute()
    return path.parent.name if path.stem == "state" and path.parent.name else path.stem
