"""Whole runs against the sandbox, with books of our own beside the library's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from batchata import Batch, BatchRun, GenaiPriceBook, JobResult, Usage
from batchata.core.errors import StateError
from batchata.core.events import (
    Durable,
    JobsAdded,
    LimitSet,
    OutcomesRecorded,
    SubmissionIntended,
    SubmissionMoved,
)
from batchata.core.status import SubmissionStatus
from batchata.core.usage import from_parts, to_parts
from batchata.engine.clock import SystemClock
from batchata.gateway import Ledger, Sandbox, Scenario, with_faults
from batchata.gateway.sandbox.ledger import BilledItem
from batchata.stores.sqlite import SQLiteStore

GPT = "gpt-6-luna"
CLAUDE = "claude-haiku-5-5"
MODELS = {"openai": GPT, "anthropic": CLAUDE}
PRICES = GenaiPriceBook()
#: seconds of a limit that is over when a test says so, see `end_limits`
TOLD = 1e6


@dataclass
class Books:
    """What a state file was told, added up without any code of the library's own."""

    bounds: dict[int, int] = field(default_factory=dict)
    held: dict[str, set[int]] = field(default_factory=dict)  #: token → jobs without an outcome
    spent: int = 0
    limit: int | None = None
    intents: int = 0

    def take(self, *events: Durable) -> None:
        """Add up one commit and check that no limit was passed by it."""
        for event in events:
            if isinstance(event, LimitSet):
                self.limit = event.limit
            elif isinstance(event, JobsAdded):
                self.bounds.update({row.seq: row.cost_bound for row in event.rows})
            elif isinstance(event, SubmissionIntended):
                self.intents += 1
                self._intend(event)
            elif isinstance(event, SubmissionMoved):
                if event.status is SubmissionStatus.DROPPED:
                    self.held.pop(event.token, None)
            elif isinstance(event, OutcomesRecorded):
                self._settle(event)

    def _intend(self, event: SubmissionIntended) -> None:
        submission = event.submission
        taken = set[int]().union(*self.held.values())
        assert taken.isdisjoint(submission.seqs), "a job is in two open submissions"
        self.held[submission.token] = set(submission.seqs)
        assert self.limit is None or self.spent + self.reserved <= self.limit, "over the limit"

    def _settle(self, event: OutcomesRecorded) -> None:
        for outcome in event.outcomes:
            if outcome.token in self.held:
                assert outcome.cost <= self.bounds[outcome.seq], "dearer than its reservation"
                self.held[outcome.token].discard(outcome.seq)
            self.spent += outcome.cost
            if outcome.again is not None:
                assert outcome.again.cost_bound >= self.bounds[outcome.seq]
                self.bounds[outcome.seq] = outcome.again.cost_bound
        if event.closes is not None:
            assert not self.held.pop(event.closes), "closed with jobs that have no outcome"

    @property
    def reserved(self) -> int:
        """1e-12 USD set aside for jobs in flight."""
        return sum(self.bounds[seq] for seqs in self.held.values() for seq in seqs)


@dataclass
class Lab:
    """A sandbox, a folder, and batches that reach the one and write into the other."""

    box: Sandbox
    folder: Path
    books: dict[Path, Books] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The results folder."""
        return self.folder / "out"

    @property
    def state_file(self) -> Path:
        """Where the state lies when no other file is named."""
        return self.out / "state.db"

    def play(self, faults: str = "", scenario: Scenario | None = None) -> None:
        """Play a scenario with named faults."""
        self.box.set_scenario(with_faults(scenario or Scenario(), faults))

    def batch(self, results_dir: Path | str | None = "out", **settings: Any) -> Batch:
        """An empty batch that reaches the sandbox and does not dawdle."""
        folder = self.out if results_dir == "out" else results_dir
        batch = Batch(folder, **settings).set_polling(0.001).set_retries(settle_seconds=0.02)
        return self.connect(batch)

    def connect(self, batch: Batch, **options: Any) -> Batch:
        """Point both vendors' SDKs at the sandbox."""
        return batch.set_provider(
            "openai", api_key="sk-test", base_url=self.box.openai_base_url, **options
        ).set_provider(
            "anthropic", api_key="sk-test", base_url=self.box.anthropic_base_url, **options
        )

    def chat(self, count: int, model: str = GPT, **settings: Any) -> Batch:
        """A batch of so many short questions."""
        batch = self.batch(**settings).set_default_params(model=model, max_tokens=60)
        for number in range(count):
            batch.add_job(prompt=f"question {number}", id=f"q{number}")
        return batch

    @property
    def ledger(self) -> Ledger:
        """The vendors' bill."""
        return self.box.ledger

    @property
    def billed_usd(self) -> Decimal:
        """The vendors' bill in USD, priced item by item."""
        return sum((item_usd(item) for item in self.ledger.items), Decimal(0))

    def times_billed(self) -> Counter[str]:
        """How often each question was billed."""
        return Counter(item.content for item in self.ledger.items)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep books of every commit to every state file from now on."""
        commit, books = SQLiteStore.commit, self.books

        def watched(store: SQLiteStore, *events: Durable) -> None:
            is_kept = False
            try:
                commit(store, *events)
                is_kept = True
            except StateError as error:
                is_kept = "is saved as" in error.message  # its name is gone, and a copy has it
                raise
            finally:
                if is_kept:
                    books.setdefault(store.path, Books()).take(*events)

        monkeypatch.setattr(SQLiteStore, "commit", watched)


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.005)


def end_limits(monkeypatch: pytest.MonkeyPatch, holds: Callable[[], object]) -> None:
    """Let limits of `TOLD` seconds be over as soon as this holds, however busy the machine is."""
    sleep = SystemClock.sleep

    async def told(clock: SystemClock, seconds: float) -> None:
        if seconds < TOLD / 2:
            await sleep(clock, seconds)
        while seconds >= TOLD / 2 and not holds():
            await sleep(clock, 0.005)

    monkeypatch.setattr(SystemClock, "sleep", told)


def item_usd(item: BilledItem) -> Decimal:
    """Price of one billed item, at batch prices, in whole parts of 1e-12 USD."""
    usage = Usage(item.input_tokens, item.output_tokens, item.cached_tokens)
    return from_parts(to_parts(PRICES.card(item.vendor, item.model, "batch").cost_usd(usage)))


def cost_of(results: Iterable[JobResult]) -> Decimal:
    """Sum of what results say they cost."""
    return sum((result.cost_usd for result in results), Decimal(0))


def all_of(run: BatchRun) -> dict[str, JobResult]:
    """All results of a run by id; fails when a job is there twice."""
    found = list(run.results().iter_all())
    by_id = {result.job_id: result for result in found}
    assert len(by_id) == len(found)
    return by_id
