"""Who works on the shards: this process, or several that it starts and supervises."""

from __future__ import annotations

import concurrent.futures
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from batchata.core.errors import RunError
from batchata.engine.portal import Portal
from batchata.generate.config import Config, ModelConfig
from batchata.generate.ledger import Ledger, worker_name
from batchata.generate.metrics import Progress, servers_of
from batchata.generate.servers import Servers
from batchata.generate.shard_run import Plan, ShardRunner
from batchata.generate.worker_handles import LocalWorker, WorkerHandle
from batchata.generate.worker_loop import WorkerLoop
from batchata.sdk.driver import rarely_swept, terminated

log = logging.getLogger("batchata.generate")

TICK_SECONDS: Final = 0.125
T = TypeVar("T")
Watch = Callable[[Progress], None]


def run_here(
    config: ModelConfig, use: Callable[[Servers], Awaitable[T]], timeout_seconds: float = 300.0
) -> T:
    """Call `use` with the servers of a config, from sync code."""
    servers = Servers(config, timeout_seconds)

    async def ask() -> T:
        try:
            return await use(servers)
        finally:
            await servers.aclose()

    portal = Portal("batchata-generate")
    try:
        return portal.start(ask()).result()
    finally:
        portal.close()


class Supervisor:
    """Gets a part written for every open shard of a ledger, or stops in good order."""

    def __init__(self, config: Config, plan: Plan, folder: Path, ledger: Ledger) -> None:
        self._config = config
        self._plan = plan
        self._folder = folder
        self._ledger = ledger
        self._began = time.monotonic()
        span = ledger.meta("span")
        self._rows = span[1] - span[0]
        self._before = ledger.tally().answers

    def run(self, watch: Watch | None) -> None:
        """Work until done; a Ctrl-C or SIGTERM stops sending, and a second one quits at once."""
        work = self._config.processing
        if work.engine == "ray":
            from batchata.generate.on_ray import ray_workers

            with ray_workers(self._config, self._plan, self._folder) as handles:
                self._together(handles, watch)
        elif work.workers == 1:
            self._alone(watch)
        else:
            handles = [LocalWorker(self._config, self._folder) for _ in range(work.workers)]
            self._together(handles, watch)

    def _alone(self, watch: Watch | None) -> None:
        name = worker_name()
        servers = Servers(self._config.model, self._config.retry.timeout)
        loop = WorkerLoop(
            ShardRunner(self._config, self._plan, self._folder), self._ledger, servers, name
        )
        portal = Portal("batchata-generate")
        future = portal.start(loop.run())

        def look() -> bool:
            if watch is not None:
                watch(self.progress({name: loop.report()}))
            with suppress(concurrent.futures.TimeoutError):
                future.exception(timeout=TICK_SECONDS)
            return not future.done()

        try:
            with rarely_swept():
                self._drive(look, lambda reason: portal.soon(loop.stop, reason))
                future.result()
        finally:
            portal.close(1.0)
        self._ledger.renew(name, loop.report())
        if watch is not None:
            watch(self.progress({name: loop.report()}))

    def _drive(self, look: Callable[[], bool], stop: Callable[[str], None]) -> None:
        """Call `look` until it returns that nothing is left to wait for."""
        is_interrupted = False
        with terminated(lambda: stop("stop: SIGTERM"), is_on=True):
            while True:
                try:
                    if not look():
                        break
                except KeyboardInterrupt:
                    if is_interrupted:
                        raise
                    is_interrupted = True
                    log.warning("stopping: waiting for calls in flight; Ctrl-C abandons them")
                    stop("stop: interrupted")
        if is_interrupted:
            raise KeyboardInterrupt

    def _together(self, handles: Sequence[WorkerHandle], watch: Watch | None) -> None:
        def look() -> bool:
            if watch is not None:
                watch(self.progress(self._ledger.reports()))
            time.sleep(TICK_SECONDS)
            working = [each.is_working(self._ledger) for each in handles]  # looks after all of them
            return any(working)

        def stop(reason: str) -> None:
            for each in handles:
                each.stop()

        try:
            for each in handles:
                each.start()
            self._drive(look, stop)
        finally:
            for each in handles:
                each.kill()
        error = self._ledger.meta("error")
        if error is not None and self._ledger.open_shards():
            self._ledger.set_meta(error=None)
            raise RunError(error[0], hint=error[1])
        if watch is not None:
            watch(self.progress(self._ledger.reports()))

    def progress(self, reports: Mapping[str, Mapping[str, Any]]) -> Progress:
        """How far the work is, by the workers' latest reports."""
        said = list(reports.values())

        def total(name: str) -> int:
            return sum(int(each.get(name, 0)) for each in said)

        now = total("answered") + total("failed")
        wanted = self._rows * self._config.generation.num_samples
        per_job = self._config.generation.num_samples if self._config.generation.one_request else 1
        return Progress(
            rows=self._rows,
            answers_wanted=wanted,
            answers=min(wanted, self._before + (now + total("known")) * per_job),
            failed=total("failed") * per_job,
            in_flight=total("in_flight"),
            input_tokens=total("input_tokens"),
            output_tokens=total("output_tokens"),
            seconds=time.monotonic() - self._began,
            answers_now=now * per_job,
            workers=len(said),
            servers=servers_of(said),
        )
