"""A script's own Job values, by the numbers and ids that the state file has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from batchata.core.job import Job
from batchata.core.progress import RunView
from batchata.core.submission import Submission
from batchata.stores.sqlite import SQLiteStore


class ScriptJobs:
    """The jobs of a script that gave them all at once; those of a generator are not kept."""

    def __init__(self, jobs: Sequence[Job], order: Sequence[int], state_file: Path) -> None:
        self._jobs = jobs
        self._order = order  #: their numbers in the state file; grows while they are taken in
        self._state_file = state_file

    def by_id(self) -> dict[str, Job]:
        """Job id to job, of those that were taken in so far."""
        return {job.id: job for job in self.of(self._order[:])}

    def of(self, seqs: Iterable[int]) -> list[Job]:
        """Those of these numbers that are the script's, each with its id."""
        places = {seq: place for place, seq in enumerate(self._order[:])}
        known = [seq for seq in seqs if seq in places]
        with closing(SQLiteStore(self._state_file, read_only=True)) as store:
            names = store.ids(known)
        jobs = [self._jobs[places[seq]] for seq in known]
        return [
            job if job.id == name else replace(job, id=name)
            for job, name in zip(jobs, names, strict=True)
        ]


class BatchJobs(Sequence[Job]):
    """The jobs of one batch, looked up when they are first asked for."""

    def __init__(self, script: ScriptJobs, seqs: Sequence[int]) -> None:
        self._script = script
        self._seqs = seqs

    @cached_property
    def _found(self) -> list[Job]:
        return self._script.of(self._seqs)

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Job: ...

    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...

    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        return self._found[index]

    def __repr__(self) -> str:
        return f"<jobs of a batch of {len(self._seqs)}>"


def batch_data(
    view: RunView, script: ScriptJobs | None, submissions: Mapping[str, Submission]
) -> dict[str, dict[str, Any]]:
    """What progress callbacks are told of batches, with the jobs of each where they are kept."""
    entries = view.batch_data()
    if script is not None:
        for entry, each in zip(entries.values(), view.active, strict=True):
            entry["jobs"] = BatchJobs(script, submissions[each.token].seqs)
    return entries
