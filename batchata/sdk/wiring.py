"""Puts adapters and engine together; the only module that names both."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from batchata.core.config import Attached, RunConfig
from batchata.core.errors import StateError
from batchata.core.events import LimitSet
from batchata.core.job import Job
from batchata.core.pilot import Decide
from batchata.core.progress import RunView
from batchata.core.routes import check_route
from batchata.core.usage import RateCard, to_parts
from batchata.engine.attaching import attach
from batchata.engine.clock import SystemClock
from batchata.engine.context import RunContext
from batchata.engine.feeding import Feed
from batchata.engine.ingest import Ingest, no_jobs
from batchata.engine.paces import Paces
from batchata.engine.preparing import Preparer
from batchata.engine.runner import Runner
from batchata.engine.viewing import Viewer
from batchata.ports import Clock, Provider
from batchata.prices import GenaiPriceBook
from batchata.providers.control import ProviderSettings
from batchata.providers.registry import create_provider, route
from batchata.sdk.run_files import (
    fix_paths,
    load_documents,
    open_file,
    resolve_paths,
    splice,
)
from batchata.sdk.run_sinks import RunSinks
from batchata.sdk.script_jobs import ScriptJobs, batch_data
from batchata.stores.files import clear_folder, files_error
from batchata.stores.sqlite import SQLiteStore

log = logging.getLogger("batchata")


@dataclass(slots=True)
class Parts:
    """The parts of a run that outlive its event loop."""

    config: RunConfig
    settings: Mapping[str, ProviderSettings]
    clock: Clock = field(default_factory=SystemClock)
    providers: dict[str, Provider] = field(default_factory=dict)
    models: dict[int, type[BaseModel]] = field(default_factory=dict)
    prices: GenaiPriceBook | None = None
    inexact: set[str] = field(default_factory=set)
    decide: Decide | None = None
    paces: Paces = field(default_factory=Paces)  #: of live calls
    _making: threading.Lock = field(default_factory=threading.Lock)

    def provider(self, name: str) -> Provider:
        """The provider of this name, made at the first call."""
        with self._making:
            found = self.providers.get(name)
            if found is None:
                found = self.providers[name] = create_provider(name, self.settings.get(name))
            return found

    def card(self, provider: str, model: str, tier: str) -> RateCard:
        """Prices of a model; models whose prices are not exact are noted."""
        if self.prices is None:
            self.prices = GenaiPriceBook(
                self.config.prices, allow_unpriced=self.config.allow_unpriced
            )
        card = self.prices.card(provider, model, tier)
        if not card.is_exact:
            self.inexact.add(model)
        return card

    def preparer(self) -> Preparer:
        """The preparer that makes jobs ready to be sent."""
        return Preparer(
            route=route,
            provider=self._on_route,
            card=self.card,
            load=load_documents,
            tier=self.bound_tier,
            is_background=self.config.route == "background",
        )

    def _on_route(self, name: str) -> Provider:
        """The provider; NoRouteError unless it offers the route that its jobs will take."""
        provider = self.provider(name)
        offers = [each for each in ("batch", "live", "background") if getattr(provider, each)]
        check_route(self.config, name, offers)
        return provider

    @property
    def bound_tier(self) -> str:
        """The tier whose prices bound jobs: the live one for routes that may go live."""
        is_batch_only = self.config.route == "batch" and self.config.pilot is None
        return "batch" if is_batch_only else "standard"

    def bind(self, number: int) -> type[BaseModel] | None:
        """The response model of a shape, where this process knows it."""
        return self.models.get(number)


class Session:
    """A run's store, state and engine, opened for one execution."""

    def __init__(self, parts: Parts, *, keeps_limit: bool = False) -> None:
        from batchata.documents.quoting import QuoteFinder

        self.parts = parts
        self.named = resolve_paths(parts.config)  #: with paths as its user wrote them
        self.config = fix_paths(self.named)
        self._keeps_limit = keeps_limit  #: the run has no script: what the last one said holds
        self._own_work: Path | None = None
        self._is_abandoned = False
        self._finder = QuoteFinder()
        self._runner: Runner | None = None
        self.feed: Feed | None = None  #: jobs that come while others are being asked
        self.order: Sequence[int] = ()  #: seqs of the script's jobs, in its own order
        self.script_jobs: ScriptJobs | None = None  #: where it gave them all at once
        path = self.config.state_file
        if path is None:
            raise StateError("the run has no state file")
        is_new, small = not self.config.reuse_state, self.config.has_small_batches
        self.store = SQLiteStore(
            path,
            sets_aside=is_new,
            small_commits=small,
            keeps_room=parts.bound_tier != "batch",  # a vendor keeps answers of its batches
        )
        try:
            self.state = self.store.load()
            if keeps_limit:  # the bounds in the file are those of the route it was made for
                route = self.store.meta("route") or self.config.route
                is_deduped = bool(self.store.meta("dedupe")) or self.config.dedupe
                self.config = replace(self.config, route=route, dedupe=is_deduped)
            self.sinks = RunSinks(self.config, self.store, self.state, parts.bind)
            self.context = self._context(path)
            self.store.on_shortage = self._on_shortage
            self.viewer = Viewer(self.context, self.named)
            self.sinks.watch(lambda event: self.viewer.emit(event))  # whichever viewer it is then
            self.sinks.open(parts.settings, self.context.stop.ask)
            self.set_limit()
        except BaseException:
            self.store.close()
            raise

    def _on_shortage(self, error: StateError) -> None:
        self.context.stop.ask(error.message, error=error)

    def _context(self, path: Path) -> RunContext:
        config = self.config
        keeps = config.raw_files and config.results_dir is not None
        if keeps and config.results_dir is not None:
            raw = config.results_dir / "raw_files"
            folders = (raw / "requests", raw / "responses", raw / "errors")
        else:
            self._own_work = path.with_name(path.name + ".work")
            folders = (self._own_work, self._own_work, self._own_work)
        return RunContext(
            config=config,
            run_id=secrets.token_hex(6),
            store=self.store,
            state=self.state,
            providers=self.parts.providers,
            clock=self.parts.clock,
            emit=self.sinks.emit,
            new_token=new_token,
            requests_dir=folders[0],
            responses_dir=folders[1],
            errors_dir=folders[2],
            keeps_raw=keeps,
            card=self.parts.card,
            bound_tier=self.parts.bound_tier,
            splice=splice,
            open_file=open_file,
            find_quotes=self._finder.find,
            response_models=self.parts.models,
            decide=self.parts.decide,
            paces=self.parts.paces,
        )

    def set_limit(self) -> None:
        """Write the cost limit down; money set aside by an earlier run stays set aside."""
        limit = self.config.cost_limit_usd
        if limit is not None or not self._keeps_limit:
            self.context.record(LimitSet(limit=None if limit is None else to_parts(limit)))

    def take(self, jobs: Iterable[Job], *, while_asking: bool = False) -> None:
        """Take in the jobs of the script.

        With `while_asking`, where the run need not know all of them first, they come through
        `feed`, which has to be read while the run goes on.
        """
        self.store.set_meta(route=self.config.route, dedupe=int(self.config.dedupe))
        cache = self.sinks.cache
        ingest = Ingest(
            config=self.config,
            store=self.store,
            state=self.state,
            preparer=self.parts.preparer(),
            record=self.context.record,
            now_us=self.context.now_us,
            response_models=self.parts.models,
            goes_on=lambda: not self.context.stop.is_asked,
            recall=cache.find if cache is not None else None,
        )
        self.order = ingest.order
        if isinstance(jobs, Sequence):
            self.script_jobs = ScriptJobs(jobs, ingest.order, self.store.path)
        if while_asking and self._asks_one_by_one:
            ingest.begin()
            feed = self.feed = Feed(self.context, ingest, jobs, self._admitted)
            self.viewer.is_taking_in = lambda: not feed.is_done
            return
        ingest.take(jobs)
        if not sum(self.state.counts):
            raise no_jobs()
        self._taken()

    @property
    def _asks_one_by_one(self) -> bool:
        """True when a job can be asked before those after it are known.

        What an earlier run left in batches or in the background comes back at any time, and its
        jobs have to be known before that.
        """
        config = self.config
        needs_all = config.pilot is not None or config.dedupe
        opened = self.state.open_submissions()
        if config.makes_batches or needs_all:
            return False
        return all(each.route == "live" for each in opened)

    def _admitted(self, seqs: Sequence[int]) -> None:
        state = self.state
        if state.has_reopened:
            self.sinks.expect_repeats()
        self.viewer.met(sum(state.status_of(seq).is_final for seq in seqs))

    def _taken(self) -> None:
        if self.state.has_reopened:
            self.sinks.expect_repeats()
        self.viewer = Viewer(self.context, self.named)

    def attach(self, what: Attached) -> None:
        """Take up jobs of the state file without their script."""
        attach(self.context, what)
        self._taken()
        for shape in self.state.shapes:
            if shape.provider:
                self.parts.provider(shape.provider)

    def batch_data(self, view: RunView) -> dict[str, dict[str, Any]]:
        """What progress callbacks are told of the batches in a view."""
        return batch_data(view, self.script_jobs, self.state.submissions)

    async def run(self, *, sends: bool = True) -> None:
        """Run to the end, or to a stop."""
        for submission in self.state.open_submissions():
            self.parts.provider(submission.provider)
        for upload in self.state.uploads.values():
            if upload.status.is_open:
                self.parts.provider(upload.provider)
        runner = self._runner = Runner(self.context, sends=sends, feed=self.feed)
        self.viewer.watch(
            lambda: runner.waiting - runner.live.waiting,
            lambda: not self.parts.inexact,
            lambda: runner.live.view,
        )
        try:
            await runner.run()
        except OSError as error:
            raise files_error(error) from error
        finally:
            if self.feed is not None:
                self.feed.close()
            for provider in list(self.parts.providers.values()):
                await provider.aclose()

    @property
    def waiting(self) -> int:
        """Jobs that have not left yet."""
        return self._runner.waiting if self._runner is not None else sum(self.state.counts)

    def abandon(self) -> None:
        """Leave all files open: the loop's thread still works with them."""
        self._is_abandoned = True
        self._finder.close()

    def close(self) -> Exception | None:
        """Close everything; the error of the results folder, if it had one."""
        if self._is_abandoned:
            return None
        error = self.sinks.close()
        self.store.close()
        if self._own_work is not None and self._own_work.is_dir():
            clear_folder(self._own_work, is_done=not self.state.open_submissions())
        return error


def new_token() -> str:
    """A name for a submission that no other will ever have: 60 random bits."""
    return "b" + secrets.token_hex(8)[:15]
