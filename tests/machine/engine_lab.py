"""The engine with a fake vendor, virtual time and a real state file, one call at a time."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_vendor import BILLED, BOUND, GARBAGE, GOOD, LOST, PRICE, FakeVendor
from virtual_loop import VirtualClock, VirtualLoop

from batchata.core.config import RunConfig
from batchata.core.errors import StateError
from batchata.core.events import LimitSet
from batchata.core.job import Job
from batchata.core.state import RunState
from batchata.core.status import JobStatus, RemoteState, SubmissionStatus
from batchata.core.usage import to_parts
from batchata.engine.context import RunContext
from batchata.engine.ingest import Ingest
from batchata.engine.preparing import Preparer
from batchata.engine.runner import Runner
from batchata.stores.sqlite import SQLiteStore


class EngineLab:
    """A script that is started, killed, stopped and started again."""

    def __init__(self, jobs: int, *, is_blind: bool = False, **config: Any) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.jobs = self.more_jobs(jobs)
        self.loop = VirtualLoop()
        self.vendor = FakeVendor(lambda: self.loop.seconds, is_blind=is_blind)
        self.config = RunConfig(**{"items_per_batch": 2, "max_parallel_batches": 2, **config})
        self.limit: Decimal | None = None
        self.task: asyncio.Task[None] | None = None
        self.context: RunContext | None = None
        self.store: SQLiteStore | None = None
        self.stopped_by: Exception | None = None
        self._tokens = 0

    def more_jobs(self, count: int) -> list[Job]:
        """So many jobs, the same ones each time."""
        return [Job(f"q{number}", "fake:fake-1", prompt=f"{number}") for number in range(count)]

    @property
    def is_running(self) -> bool:
        """True while the script runs."""
        return self.task is not None

    @property
    def state(self) -> RunState:
        """What the running script knows."""
        assert self.context is not None
        return self.context.state

    def start(self) -> None:
        """Start the script, from its state file if there is one."""
        self.store = SQLiteStore(self.folder / "state.db")
        self.vendor.is_gone = False
        work = self.folder / "work"
        self.context = context = RunContext(
            config=self.config,
            run_id="run",
            store=self.store,
            state=self.store.load(),
            providers={"fake": self.vendor},  # type: ignore[dict-item]
            clock=VirtualClock(self.loop),
            emit=lambda event: None,
            new_token=self._new_token,
            requests_dir=work,
            responses_dir=work,
            errors_dir=work,
            keeps_raw=False,
            card=_no_card,
        )
        context.record(LimitSet(limit=None if self.limit is None else to_parts(self.limit)))
        self._take(context)
        self.task = self.loop.create_task(Runner(context).run())
        self.settle()

    def _take(self, context: RunContext) -> None:
        preparer = Preparer(
            route=lambda model: ("fake", "fake-1"),
            provider=lambda name: self.vendor,  # type: ignore[arg-type,return-value]
            card=_no_card,
            load=_no_card,
        )
        Ingest(
            config=self.config,
            store=context.store,
            state=context.state,
            preparer=preparer,
            record=context.record,
            now_us=context.now_us,
            response_models={},
        ).take(self.jobs)

    def _new_token(self) -> str:
        self._tokens += 1
        return f"t{self._tokens}"

    def settle(self) -> None:
        """Do what can be done now; the end of the run is its end, well or not."""
        self.loop.settle()
        self._reap()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.advance(seconds)
        self._reap()

    def _reap(self) -> None:
        if self.task is not None and self.task.done():
            task, self.task = self.task, None
            assert self.store is not None
            assert self.context is not None
            self.store.close()
            self.stopped_by = self.context.stop.error
            task.result()

    def answer(self, number: int, how: str, hidden: float = 0.0) -> None:
        """Answer one of the calls that wait."""
        self.vendor.answer(self.vendor.calls[number % len(self.vendor.calls)], how, hidden)
        self.settle()

    def calls_of(self, kind: str) -> list[int]:
        """Numbers of the calls of this kind that wait."""
        return [number for number, call in enumerate(self.vendor.calls) if call.kind == kind]

    def until(self, kind: str) -> None:
        """Let calls end well until one of this kind waits."""
        for _ in range(20):
            if self.calls_of(kind):
                return
            if self.vendor.calls:
                self.answer(0, "well")
            else:
                self.advance(10)
        raise AssertionError(f"no {kind} call comes")

    def stop(self, *, cancels: bool = False) -> None:
        """Ask the run to stop."""
        assert self.context is not None
        self.context.stop.ask("stop: asked", cancels=cancels)
        self.settle()

    def kill(self) -> None:
        """The process is no more: only what was committed is left."""
        assert self.store is not None
        assert self.task is not None
        self.store._db.close()
        self.store._unlock()
        self.vendor.is_gone = True
        self.task.cancel()
        with contextlib.suppress(BaseException):
            self.loop.run_until_complete(self.task)
        self.vendor.calls.clear()
        self.task = None

    def finish(self) -> None:
        """All is well from now on: run until every job has ended."""
        self.limit = None
        self.config = replace(self.config, on_unresolved="wait")
        for _ in range(2000):
            if not self.is_running:
                if self._is_done():
                    return
                self.start()
            for batch in self.vendor.batches.values():
                if not batch.is_final:
                    batch.finish(RemoteState.COMPLETED, dict.fromkeys(batch.job_ids, GOOD))
            while self.is_running and self.vendor.calls:
                self.answer(0, "well")
            if self.is_running:
                self.advance(10.0)
        raise AssertionError("the run does not come to its end")

    def _is_done(self) -> bool:
        path = self.folder / "state.db"
        if not path.exists():
            return False
        state = self.read()
        ends = (JobStatus.SUCCEEDED, JobStatus.FAILED)
        return len(state) == len(self.jobs) and all(
            state.status_of(seq) in ends for seq in range(len(state))
        )

    def read(self) -> RunState:
        """What the state file says now."""
        store = SQLiteStore(self.folder / "state.db", read_only=True)
        try:
            return store.load()
        finally:
            store.close()

    def close(self) -> None:
        """Throw all away."""
        if self.is_running:
            self.kill()
        self.loop.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> None:
        """What must be true at any moment."""
        self._check_vendor()
        if self.is_running:
            self._check_books(self.state)
            self._check_disk()

    def _check_books(self, state: RunState) -> None:
        counts = Counter(state.status)
        assert [counts[code] for code in range(len(state.counts))] == state.counts
        cost = state.cost
        assert cost.limit is None or cost.spent + cost.reserved <= cost.limit
        held = [seq for token in state.left for seq in state.unsettled(token)]
        assert len(held) == len(set(held)), "a job is in two open submissions"
        assert len(held) == counts[1], "a submitted job is in no submission"
        assert cost.reserved == state.bounds_of(held)
        assert state.held == {t: state.bounds_of(state.unsettled(t)) for t in state.left}
        assert state.left == {t: len(state.unsettled(t)) for t in state.left}

    def _check_disk(self) -> None:
        """The fold of the file is the state in memory."""
        disk, state = self.read(), self.state
        assert disk.cost.spent == state.cost.spent
        assert disk.cost.reserved == state.cost.reserved
        assert disk.left == state.left
        assert disk.submissions == state.submissions
        assert disk.status == state.status
        assert disk.attempts == state.attempts
        assert disk.cost.uncertain == state.cost.uncertain

    def _check_vendor(self) -> None:
        """No job is asked again whose answer is there or may still come."""
        answered: dict[str, str] = {}
        waiting: dict[str, str] = {}
        dropped = self._dropped()
        for batch in self.vendor.batches.values():
            for job_id in batch.job_ids:
                where = answered.get(job_id) or waiting.get(job_id)
                assert where is None, f"{job_id} is in {batch.id} and was in {where}"
                end = batch.ends.get(job_id)
                if batch.token in dropped:
                    continue
                if not batch.is_final:
                    waiting[job_id] = batch.id
                elif end in BILLED and end not in (LOST, GARBAGE):
                    answered[job_id] = batch.id

    def _dropped(self) -> set[str]:
        if not self.is_running:
            return set()
        gone = (b.token for b in self.vendor.batches.values() if b.state is RemoteState.FAILED)
        return set(gone)

    def check_end(self) -> None:
        """What must be true when all is over."""
        state = self.read()
        assert not state.left
        assert not state.cost.reserved
        billed = Counter(job for batch in self.vendor.batches.values() for job in batch.billed)
        ends = [end for batch in self.vendor.batches.values() for end in batch.ends.values()]
        at_most = (GARBAGE, LOST)
        sure = PRICE * sum(end in BILLED and end not in at_most for end in ends)
        bound = BOUND * sum(end in at_most for end in ends)
        assert to_parts(sure) <= state.cost.spent <= to_parts(sure + bound)
        bill = sum(billed.values()) * PRICE
        assert to_parts(bill) <= state.cost.spent
        for seq in range(len(state)):
            if state.status_of(seq) is JobStatus.SUCCEEDED:
                assert billed[f"q{seq}"] >= 1
        used = {batch.token for batch in self.vendor.batches.values()}
        assert set(self.vendor.files.values()) <= used, "an upload without a batch is left"
        assert not list((self.folder / "work").glob("*_sending_*"))


def _no_card(*_: Any) -> Any:
    raise StateError("no price is asked for")


__all__ = ["EngineLab", "SubmissionStatus"]
