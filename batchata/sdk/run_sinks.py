"""The sinks of a run's events: results folder, answer cache, event log and watchers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from batchata.core.assemble import Bind
from batchata.core.config import RunConfig
from batchata.core.events import Event
from batchata.core.state import RunState
from batchata.providers.control import ProviderSettings
from batchata.sdk.run_files import place_from
from batchata.sinks.exporter import Exporter
from batchata.stores.cache import AnswerCache, CacheFeeder
from batchata.stores.reader import ResultReader
from batchata.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from batchata.sinks.eventlog.run_events import RunEvents

log = logging.getLogger("batchata")

Watcher = Callable[[Event], None]


class RunSinks:
    """The sinks that a run's settings name, and whoever else watches it."""

    def __init__(self, config: RunConfig, store: SQLiteStore, state: RunState, bind: Bind) -> None:
        self._config, self._store, self._state, self._bind = config, store, state, bind
        self._watchers: list[Watcher] = []
        self._exporter: Exporter | None = None
        self._log: RunEvents | None = None
        self.cache: AnswerCache | None = None

    def open(self, settings: Mapping[str, ProviderSettings], ask_stop: Callable[..., None]) -> None:
        """Open what the settings name, and bring it up to date with the state file."""
        self._open_exporter()
        self._open_cache()
        if self._config.event_log is not None:
            from batchata.sdk.run_log import open_run_log

            self._log = open_run_log(
                self._config, self._store, self._state, self._bind, settings, ask_stop
            )
            self.watch(self._log.emit)

    def watch(self, watcher: Watcher) -> None:
        """Have somebody told of every event from now on."""
        self._watchers.append(watcher)

    def emit(self, event: Event) -> None:
        """Tell all of them; never raises."""
        for watch in self._watchers:
            try:
                watch(event)
            except Exception:  # a watcher's fault is not the run's
                log.exception("a watcher failed on %s", type(event).__name__)

    def expect_repeats(self) -> None:
        """Jobs that have a result already are asked again: the results folder replaces theirs."""
        if self._exporter is not None:
            self._exporter.expect_repeats()

    def close(self) -> Exception | None:
        """Close them; the error of the results folder, if it had one."""
        for sink in (self._exporter, self.cache, self._log):
            if sink is not None:
                sink.close()
        return self._exporter.error if self._exporter is not None else None

    def _open_exporter(self) -> None:
        config, path = self._config, self._config.state_file
        if config.results_dir is None or path is None:
            return
        exporter = Exporter(
            config.results_dir,
            config.result_format,
            self._store,
            self._state,
            self._bind,
            place=place_from(config.results_dir, path.parent),
        )
        if exporter.is_behind:
            with closing(ResultReader(path, bind=self._bind)) as reader:
                exporter.catch_up(reader.after)
        self._exporter = exporter
        self.watch(exporter.emit)

    def _open_cache(self) -> None:
        config, state = self._config, self._state
        if config.cache_file is None:
            return
        self.cache = AnswerCache(config.cache_file, config.cache_reuse)
        feeder = CacheFeeder(
            self.cache, lambda seq: state.shapes[state.shape_of[seq]], self._bodies
        )
        self.watch(feeder.emit)

    def _bodies(self, seqs: Iterable[int]) -> list[bytes]:
        return list(self._store.bodies(list(seqs)))
