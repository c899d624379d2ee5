"""An engine with a fake vendor, a clock that only jumps, and a state without a file."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchata.core.config import RunConfig
from batchata.core.events import (
    Durable,
    Event,
    JobsAdded,
    LimitSet,
    ShapeAdded,
)
from batchata.core.result import Failure, Reason
from batchata.core.state import RunState
from batchata.core.status import RemoteState
from batchata.core.submission import JobRow, Outcome, RequestCounts, Shape
from batchata.core.usage import RateCard, Rates
from batchata.engine.context import RunContext
from batchata.engine.runner import Runner
from batchata.ports import BatchLook, Provider
from batchata.testing import FakeBatchAPI, FakeClock, FakeProvider, MemoryStore

BOUND = 100
#: one token costs 1e-12 USD: the fake vendor's answers of 5 + 2 tokens cost 7
_ONE = Decimal("0.000001")
CARD = RateCard(
    model="m",
    tier="batch",
    rates=Rates(
        input_usd=_ONE,
        output_usd=_ONE,
        cache_read_usd=_ONE,
        cache_write_usd=_ONE,
        cache_write_1h_usd=_ONE,
    ),
)
ANSWER_COST = 7


@dataclass
class Bench:
    """One run of the engine; `next()` is the run of the next process."""

    folder: Path
    api: FakeBatchAPI = field(default_factory=FakeBatchAPI)
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: FakeClock = field(default_factory=FakeClock)
    config: RunConfig = field(default_factory=lambda: RunConfig(items_per_batch=3))
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        tokens = itertools.count(len(self.store.events))
        provider: Provider = FakeProvider(batch=self.api)
        self.context = RunContext(
            config=self.config,
            run_id="r",
            store=self.store,
            state=self.store.load(),
            providers={"fake": provider},
            clock=self.clock,
            emit=self.events.append,
            new_token=lambda: f"t{next(tokens)}",
            requests_dir=self.folder / "requests",
            responses_dir=self.folder / "responses",
            errors_dir=self.folder / "errors",
            keeps_raw=True,
            card=lambda provider, model, tier: CARD,
        )
        for seq in range(len(self.state)):
            self.state.want(seq)

    @property
    def state(self) -> RunState:
        """What the run knows."""
        return self.context.state

    def add(self, *bounds: int, model: str = "m", size: int = 0, tokens: int = 10) -> Bench:
        """One more job for each bound: its most that it can cost."""
        self.context.record(*self._jobs(bounds, model, size, tokens))
        return self

    def _jobs(self, bounds: tuple[int, ...], model: str, size: int, tokens: int) -> list[Durable]:
        shape = Shape(provider="fake", endpoint="/fake", model=model)
        events: list[Durable] = []
        if shape not in self.state.shapes:
            events.append(ShapeAdded(number=len(self.state.shapes), shape=shape))
        number = len(self.state.shapes) if events else self.state.shapes.index(shape)
        rows = []
        for seq, bound in enumerate(bounds, len(self.state)):
            body = b'{"prompt":"%d","x":"%s"}' % (seq, b"x" * size)
            rows.append(JobRow(seq, f"j{seq}", number, body, None, None, tokens, 5, bound))
        return [*events, JobsAdded(rows=rows)]

    def limit(self, parts: int | None) -> Bench:
        """Set the cost limit, in 1e-12 USD."""
        self.context.record(LimitSet(limit=parts))
        return self

    def set(self, **changes: Any) -> Bench:
        """Change the run's config."""
        self.config = replace(self.config, **changes)
        self.context.config = self.config
        return self

    def run(self) -> Bench:
        """Run to the end, in virtual time."""
        asyncio.run(asyncio.wait_for(Runner(self.context).run(), 60))
        return self

    def next(self) -> Bench:
        """The run of the next process, on what this one has committed."""
        return Bench(
            self.folder,
            self.api,
            MemoryStore(self.store.events, self.store.values),
            self.clock,
            self.config,
        )

    @property
    def statuses(self) -> list[str]:
        """Statuses of all jobs, in order."""
        return [str(self.state.status_of(seq)) for seq in range(len(self.state))]

    def outcome(self, job_id: str) -> Outcome:
        """The newest outcome of a job."""
        return self.store.outcomes_by_id[job_id]

    @property
    def sent(self) -> list[list[str]]:
        """Jobs of every batch at the vendor."""
        return [[name for name, _ in batch.requests] for batch in self.api.batches.values()]


def ending(state: RemoteState, reason: Reason | None = None, **fields: Any) -> BatchLook:
    """How a batch can be scripted to end."""
    failure = None if reason is None else Failure(reason, f"scripted {reason}")
    return BatchLook(state, RequestCounts(), str(state), failure, **fields)


def queue_full() -> BatchLook:
    """A batch that the vendor's queue has no room for."""
    return ending(RemoteState.FAILED, Reason.BATCH_FAILED, is_queue_full=True)
