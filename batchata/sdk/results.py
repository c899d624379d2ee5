"""The results of a run: read from the state file as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, overload

from batchata.core.assemble import Bind
from batchata.core.config import RunConfig
from batchata.core.errors import ResultsError
from batchata.core.result import JobResult
from batchata.core.retry import may_reopen
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape
from batchata.stores.cache import AnswerCache
from batchata.stores.reader import ResultReader, bind_nothing

_ListName = Literal["completed", "failed", "cancelled", "skipped", "unfinished"]
_LISTS: dict[str, tuple[JobStatus, ...]] = {
    "completed": (JobStatus.SUCCEEDED,),
    "failed": (JobStatus.FAILED,),
    "cancelled": (JobStatus.CANCELLED,),
    "skipped": (JobStatus.SKIPPED,),
    "unfinished": (JobStatus.PENDING, JobStatus.SUBMITTED),
}


class Results(Mapping[str, JobResult]):
    """Job id → JobResult, in the order the jobs were added, with lists by how they ended.

    Only what is asked for is held in memory; `iter_all()` reads a million in constant memory.
    """

    def __init__(
        self, state_file: Path, wanted: bytes | None = None, bind: Bind = bind_nothing
    ) -> None:
        self._reader = ResultReader(state_file, wanted, bind)

    @property
    def completed(self) -> list[JobResult]:
        """Jobs that succeeded."""
        return self._list("completed")

    @property
    def failed(self) -> list[JobResult]:
        """Jobs that failed, each with its reason."""
        return self._list("failed")

    @property
    def cancelled(self) -> list[JobResult]:
        """Jobs that were cancelled before they were answered."""
        return self._list("cancelled")

    @property
    def skipped(self) -> list[JobResult]:
        """Jobs that did not fit into the budget."""
        return self._list("skipped")

    @property
    def unfinished(self) -> list[JobResult]:
        """Jobs not sent yet, or still at the vendor; run again to finish them."""
        return self._list("unfinished")

    def iter_all(self) -> Iterator[JobResult]:
        """All results, one by one."""
        return self._reader.read(self._reader.seqs())

    def at(self, seqs: Sequence[int]) -> Iterator[JobResult]:
        """Results of the jobs with these numbers in the state file, in this order."""
        return self._reader.read(seqs)

    @overload
    def __getitem__(self, job_id: _ListName) -> Any: ...
    @overload
    def __getitem__(self, job_id: str) -> JobResult: ...
    def __getitem__(self, job_id: str) -> Any:
        """One result; `results["completed"]` and the like are the lists, as they always were."""
        seq = self._reader.ids().get(job_id)
        if seq is not None:
            return next(self._reader.read([seq]))
        if job_id in _LISTS:
            return self._list(job_id)
        raise KeyError(job_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._reader.ids())

    def __len__(self) -> int:
        return sum(1 for _ in self._reader.seqs())

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{name}={sum(1 for _ in self._reader.seqs(*statuses))}"
            for name, statuses in _LISTS.items()
        )
        return f"Results({counts})"

    def _list(self, name: str) -> list[JobResult]:
        return list(self._reader.read(self._reader.seqs(*_LISTS[name])))


class Tail:
    """Final results of a running run, as they come."""

    def __init__(self, state_file: Path, bind: Bind) -> None:
        self._reader = ResultReader(state_file, bind=bind)
        self._number = 0

    def more(self) -> list[JobResult]:
        """Results that came since the last call; empty when there are none yet."""
        while True:
            after, found = self._reader.after(self._number)
            if found or after == self._number:
                self._number = after
                return found
            self._number = after

    def close(self) -> None:
        """Let go of the state file."""
        self._reader.close()


def settled_ids(path: Path) -> set[str]:
    """Ids of the jobs of a state file that a run does not ask again, or that are at a vendor."""
    if not path.exists() or not path.stat().st_size:
        return set()
    reader = ResultReader(path)
    try:
        state = reader.state
        settled = {
            seq
            for seq in reader.seqs(*set(JobStatus) - {JobStatus.PENDING})
            if not may_reopen(state.status_of(seq), state.reason_of(seq))
        }
        return {job_id for job_id, seq in reader.ids().items() if seq in settled}
    finally:
        reader.close()


@contextmanager
def cached_answers(config: RunConfig) -> Iterator[Callable[[Shape, bytes], Outcome | None]]:
    """Looks questions up in a run's answer cache, without making or changing one."""
    path = config.cache_file
    if path is None or not path.exists():
        yield lambda shape, body: None
        return
    with closing(AnswerCache(path, config.cache_reuse, read_only=True)) as cache:
        yield lambda shape, body: cache.find(shape, body, seq=0, now_us=0)


def to_frame(results: Results) -> Any:
    """The results as a pandas DataFrame, one row a job, one column a field of the answer.

    Raises ResultsError when pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ResultsError(
            "to_dataframe() needs pandas, which is not installed", hint="pip install pandas"
        ) from error
    return pandas.DataFrame([flat_row(result) for result in results.iter_all()])


def flat_row(result: JobResult) -> dict[str, Any]:
    """A result as one row: an answer's fields and the metadata become columns of their own."""
    row = result.to_dict()
    parsed = row.pop("parsed_response")
    metadata = row.pop("metadata") or {}
    fields = parsed if isinstance(parsed, dict) else {}
    if parsed is not None and not fields:
        row["parsed_response"] = parsed
    for values, prefix in ((metadata, "metadata_"), (fields, "answer_")):
        for name, value in values.items():
            row[name if name not in row else f"{prefix}{name}"] = value
    return row
