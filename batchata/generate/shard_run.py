"""What the shards of a process share, and the life of one: taken up, answered, made a part."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import pyarrow

from batchata.core.allowance import Grant, Rates, Use
from batchata.core.config import RunConfig
from batchata.core.errors import StateError, StateLockedError, UnknownPriceError
from batchata.core.events import Event, OutcomesRecorded
from batchata.core.pacing import PaceCaps
from batchata.core.retry import Backoff
from batchata.core.status import JobStatus
from batchata.core.usage import from_parts
from batchata.generate.asking import Asker
from batchata.generate.config import Config
from batchata.generate.filters import Filter
from batchata.generate.ledger import Funded, Funds, Shard, Tally
from batchata.generate.parts import PartWriter
from batchata.generate.selection import Selection
from batchata.generate.sources import Index, ParquetRows, open_rows
from batchata.sdk.results import Results
from batchata.sdk.wiring import Parts, Session
from batchata.stores.sqlite import SQLiteStore

_LOCKED_SECONDS: Final = 0.5
#: the state of a failed row is kept, as the same command asks it again
_WAL: Final = ("", "-wal", "-shm", ".work")


class Shards(Protocol):
    """What a worker needs of the ledger."""

    def take(self, worker: str) -> Shard | None: ...
    def renew(self, worker: str, report: Mapping[str, Any], held: Sequence[int] = ()) -> None: ...
    def give_back(self, worker: str) -> None: ...
    def set_aside(self, shard: Shard, worker: str, funds: Funds, limit: int) -> Funded: ...
    def draw(self, worker: str, use: Use, rates: Rates) -> Grant: ...
    def commit(self, shard: Shard, worker: str, tally: Tally) -> bool: ...
    def open_shards(self) -> int: ...


class Plan(msgspec.Struct, frozen=True):
    """What all workers must agree on; kept in the ledger."""

    model: str
    index: Index
    counts: list[int]  #: rows of each chunk that fit the filter
    rows: int


class ShardRunner:
    """Everything that turns shards into parts, except the servers."""

    def __init__(self, config: Config, plan: Plan, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.asker = Asker(config, plan.model)
        self.selection = selection_of(config, plan.index, plan.counts)
        if config.data.shuffle:
            self.selection = Selection(ParquetRows(folder / "shuffled.parquet"))
        self.writer = PartWriter(config, self.selection.file.schema)
        self.run_config = run_config(config, plan.model)
        self._reading = threading.Lock()

    def open(self, shard: Shard, shared: Shared) -> ShardRun | None:
        """Take up a shard: read its rows, and put its jobs into its state file.

        Returns None while the process that had it before, alive or dying, still holds it.
        """
        config = replace(self.run_config, state_file=self.folder / shard.state)
        parts = Parts(config, {}, providers=dict(shared.providers), paces=shared.paces)
        try:
            session = Session(parts)
        except StateLockedError:
            time.sleep(_LOCKED_SECONDS)
            return None
        try:
            with self._reading:
                rows = self.selection.read(shard.span)
            session.take(self.asker.jobs(rows, shard.span.start))
            if shard.again:
                session.attach("failed")
        except BaseException:
            session.close()
            raise
        return ShardRun(self, shard, session, rows)


@dataclass(slots=True)
class Shared:
    """What shards in progress at the same time share."""

    providers: Mapping[str, Any]
    paces: Any  #: engine's Paces


@dataclass(slots=True)
class ShardRun:
    """One shard in progress."""

    runner: ShardRunner
    shard: Shard
    session: Session
    rows: pyarrow.Table
    is_open: bool = True  #: its rows are being answered, or will be
    is_lost: bool = False  #: another worker has the shard
    ask_at: float = 0.0  #: when it may ask for money again

    @property
    def sure(self) -> int:
        """What the shard has or may have cost, in 1e-12 USD."""
        cost = self.session.state.cost
        return cost.spent + cost.uncertain

    @property
    def used(self) -> int:
        """What it has cost, or may still cost through calls in flight, in 1e-12 USD."""
        return self.sure + self.session.state.cost.reserved

    def bounds(self, most: int) -> list[int]:
        """The most that each of the next `most` jobs may cost, in 1e-12 USD."""
        state = self.session.state
        return [state.cost_bound[seq] for seq in islice(state.pending(), most)]

    def limit(self, parts: int) -> None:
        """Limit the shard to this much money, in 1e-12 USD."""
        if self.session.state.cost.limit == parts:
            return
        self.session.config = replace(self.session.config, cost_limit_usd=from_parts(parts))
        self.session.set_limit()

    @property
    def is_whole(self) -> bool:
        """True when every row is final."""
        state = self.session.state
        return not state.count(JobStatus.PENDING) and not state.count(JobStatus.SUBMITTED)

    def finish(self) -> Tally:
        """Write the part, and close the state file."""
        session, path = self.session, self.runner.folder / self.shard.part
        found = Results(
            self.runner.folder / self.shard.state, bytes(session.state.wanted), session.parts.bind
        )
        tally = self.runner.writer.write(self.rows, found.at(session.order), path)
        cost = session.state.cost.spent + session.state.cost.uncertain
        session.close()
        return msgspec.structs.replace(tally, cost=cost)

    def leave(self) -> None:
        """Close the state file; whoever takes up the shard continues from there."""
        self.session.close()

    def clear(self, tally: Tally, *, is_winner: bool) -> None:
        """Remove what is no longer needed: the state of a complete part, or a part that lost."""
        folder = self.runner.folder
        if not is_winner:
            (folder / self.shard.part).unlink(missing_ok=True)
            return
        for attempt in range(1, self.shard.attempt):
            (folder / replace(self.shard, attempt=attempt).part).unlink(missing_ok=True)
        if not tally.failed:
            for ending in _WAL:
                with contextlib.suppress(OSError):
                    (folder / f"{self.shard.state}{ending}").unlink(missing_ok=True)


def money_in(path: Path, most: int) -> int:
    """What a state file's shard has or may have cost, in 1e-12 USD; `most` if that is unknown."""
    if not path.exists():
        return most
    try:
        with contextlib.closing(SQLiteStore(path)) as store:
            cost = store.load().cost
    except StateError:
        return most
    return cost.spent + cost.uncertain + cost.reserved


class Counter:
    """Counts answers as they are committed, for display."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.known = 0  #: final before this execution, or without being asked
        self.input_tokens = 0
        self.output_tokens = 0

    def emit(self, event: Event) -> None:
        """Count jobs that become final."""
        if not isinstance(event, OutcomesRecorded):
            return
        for outcome in event.outcomes:
            if outcome.status is JobStatus.SUCCEEDED:
                self.answered += 1
            elif outcome.status.is_final:
                self.failed += 1
            self.input_tokens += outcome.usage.input_tokens
            self.output_tokens += outcome.usage.output_tokens


def selection_of(config: Config, index: Index | None, counts: list[int] | None) -> Selection:
    """The rows of the config's file to ask about, in the file's own order."""
    file = open_rows(config.data.input_path, index)
    text = config.data.filter_condition
    condition = Filter(text, file.schema.names) if text is not None else None
    return Selection(file, condition, config.data.limit, counts=counts)


def run_config(config: Config, model: str) -> RunConfig:
    """The config as the engine's RunConfig."""
    retry, work = config.retry, config.processing
    workers = work.workers
    concurrency = config.model.concurrency
    return RunConfig(
        raw_files=False,
        items_per_batch=None,
        route="live",
        pace=PaceCaps(concurrency=-(-concurrency // workers) if concurrency else None),
        max_attempts=retry.max_retries + 1,
        backoff=Backoff(
            first_seconds=retry.retry_delay,
            factor=retry.backoff_factor,
            most_seconds=max(30.0, retry.retry_delay),
        ),
        commit_rows=work.batch_size,
        prices=_prices(config, model),
    )


def check_price(config: Config, model: str) -> None:
    """Raise UnknownPriceError when the model's price is unknown."""
    try:
        Parts(run_config(config, model), {}).card(config.model.dialect, model, "standard")
    except UnknownPriceError as error:
        raise UnknownPriceError(
            error.message,
            hint="write prices: {input: 0.5, output: 1.5} below model:, in USD per million tokens",
        ) from error


def _prices(config: Config, model: str) -> dict[str, dict[str, Any]]:
    """The config's prices; the user's own servers are free."""
    said: dict[str, Any] = dict(config.model.prices)
    if not said and not config.model.is_own:
        return {}
    return {model: said or {"input": 0, "output": 0}}
