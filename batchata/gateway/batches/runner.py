"""The runs of batches, each on the live route and carried on to its end across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from batchata.core.config import RunConfig
from batchata.core.errors import AccountStoppedError, BatchataError
from batchata.core.pacing import PaceCaps
from batchata.gateway.batches.records import BatchRecord, Phase
from batchata.gateway.batches.relay import Relay
from batchata.gateway.batches.result_files import BatchResults, write_results
from batchata.gateway.batches.store import BatchStore
from batchata.gateway.client_keys import ClientKeys
from batchata.gateway.proxy.config.model import BatchesSection, ServerSection
from batchata.gateway.wire.batch_input import ERRORS_SHOWN, FileError, InputCheck
from batchata.providers.raw_requests import read_requests
from batchata.run import BatchRun

LOG: Final = logging.getLogger("batchata.gateway")
_TICK_SECONDS: Final = 0.05
#: seconds before a run that failed on a full disk or the like is retried
_AGAIN_SECONDS: Final = 30.0
_LONG_SECONDS: Final = 60.0
_MOST_REQUESTS: Final = 50_000


class BatchRunner:
    """Runs batches to their end, a few at a time; clients' keys stay in memory."""

    def __init__(
        self,
        store: BatchStore,
        config: BatchesSection,
        *,
        headers: Mapping[str, str],
        server: ServerSection,
        prices: Mapping[str, Mapping[str, Any]],
        provider_of: Callable[[BatchRecord], str],
    ) -> None:
        self._store = store
        self._config = config
        self._own_headers = headers
        self._keys = ClientKeys()
        self._server = server
        self._prices = prices
        self.provider_of = provider_of  #: whose prices apply to a batch whose model is known
        self._url = ""
        self._running = 0
        self._is_closing = False
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, BatchRun] = {}

    def open(self, url: str) -> None:
        """Resume what an earlier process left; `url` is where the gateway listens."""
        self._url = url
        for batch in self._store.batches.values():
            if not batch.is_final:
                self.carry(batch)

    def carry(self, batch: BatchRecord) -> None:
        """Start running a batch to its end."""
        task = asyncio.get_running_loop().create_task(self._carry(batch))
        self._tasks[batch.id] = task
        task.add_done_callback(partial(self._left, batch))

    def _left(self, batch: BatchRecord, task: asyncio.Task[None]) -> None:
        del self._tasks[batch.id]
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("batch %s waits for the next start", batch.id, exc_info=error)

    def remember(self, owner: str, headers: Mapping[str, str]) -> None:
        """Keep a client's key, and resume that client's batches that wait for it."""
        if self._keys.remember(owner, headers):
            self._notify()

    def cancel(self, batch: BatchRecord) -> None:
        """End a batch; calls in flight are waited for, as they are paid for.

        Raises OSError when this cannot be recorded; even then nothing more is sent.
        """
        batch.cancelling_at = batch.cancelling_at or self._store.now()
        if batch.id in self._runs:
            self._runs[batch.id].stop("the batch is cancelled")
        self._notify()
        self._store.save(batch)

    def is_asking(self, batch_id: str) -> bool:
        """True while the requests of a batch are being sent."""
        return batch_id in self._runs

    def gauges(self) -> dict[str, float]:
        """How many batches have not ended, and how many of them are being sent."""
        return {"batches_open": len(self._tasks), "batches_running": len(self._runs)}

    async def aclose(self) -> None:
        """Send nothing more; wait for calls in flight, and leave the rest on disk."""
        self._is_closing = True
        for run in self._runs.values():
            run.stop("the gateway ends")
        self._notify()
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self._server.shutdown_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, batch: BatchRecord) -> None:
        """Carry on from the batch's current state; each step is on disk before the next one."""
        while not batch.is_final and not self._is_closing:
            try:
                await self._step(batch)
            except (BatchataError, OSError) as error:
                LOG.error("batch %s: %s", batch.id, error)
                await self._wait(_AGAIN_SECONDS)

    async def _step(self, batch: BatchRecord) -> None:
        store = self._store
        if batch.phase == "validating":
            check = await asyncio.to_thread(_checked, store.input_of(batch), batch.endpoint)
            self._begin(batch, check)
        elif batch.phase == "in_progress":
            if not await self._run(batch):
                return
            batch.ending = self._over(batch) or "completed"
            batch.phase, batch.finalizing_at = "finalizing", store.now()
            store.save(batch)
        else:
            self._end(batch, await asyncio.to_thread(write_results, store, batch))

    def _begin(self, batch: BatchRecord, check: InputCheck) -> None:
        batch.errors = check.problems()[:ERRORS_SHOWN]
        if check.count > _MOST_REQUESTS:
            message = f"The batch has {check.count} requests, the limit is {_MOST_REQUESTS}."
            batch.errors = [FileError(code="too_many_tasks", message=message)]
        batch.model, batch.total = check.model, check.count
        batch.provider = self.provider_of(batch)
        if batch.errors:
            batch.phase, batch.ended_at = "failed", self._store.now()
        else:
            batch.phase, batch.in_progress_at = "in_progress", self._store.now()
        self._store.save(batch)

    def _end(self, batch: BatchRecord, results: BatchResults) -> None:
        batch.counts, batch.usage = results.counts, results.usage
        for file in (results.output, results.errors):
            if file is not None:
                self._store.keep(file)
        batch.output_file_id = results.output.id if results.output else None
        batch.error_file_id = results.errors.id if results.errors else None
        batch.phase, batch.ended_at = batch.ending, self._store.now()
        self._store.save(batch)

    async def _run(self, batch: BatchRecord) -> bool:
        """Send what is not answered yet; False when the gateway stops before that is done."""
        if self._headers_of(batch) is None:
            LOG.info("batch %s goes on when its client asks about it", batch.id)
        while not self._is_closing:
            if self._over(batch):
                return True
            headers = self._headers_of(batch)
            if headers is not None and self._running < self._config.parallel:
                self._running += 1
                try:
                    return await self._ask(batch, headers)
                finally:
                    self._running -= 1
                    self._notify()
            await self._wait(min(_LONG_SECONDS, batch.expires_at - self._store.now()))
        return False

    def _headers_of(self, batch: BatchRecord) -> Mapping[str, str] | None:
        """The headers to send the batch with; None until its client's key is known."""
        return self._keys.of(batch.owner) if batch.owner else self._own_headers

    async def _ask(self, batch: BatchRecord, headers: Mapping[str, str]) -> bool:
        relay = Relay(batch, self._url, headers, seconds=self._patience)
        jobs = read_requests(self._store.input_of(batch), batch.provider, [batch.endpoint])
        run = BatchRun(self._settings(batch), jobs, made={relay.name: relay})
        counts = batch.counts

        def count(stats: dict[str, Any], *_: Any) -> None:
            counts.succeeded, counts.errored = stats["completed"], stats["failed"]

        run.set_on_progress(count, _TICK_SECONDS).start()
        self._runs[batch.id] = run
        try:
            while not run.wait(0):
                if self._over(batch) == "expired":
                    run.stop("the batch has run out of time")
                await asyncio.sleep(_TICK_SECONDS)
        except AccountStoppedError:
            batch.refusal = relay.refusal
            return True
        finally:
            del self._runs[batch.id]
        return run.is_complete or self._over(batch) is not None

    @property
    def _patience(self) -> float:
        """Longer than the gateway waits for its upstream, so that the gateway gives up first."""
        return self._server.connect_seconds + self._server.idle_seconds + _LONG_SECONDS

    def _settings(self, batch: BatchRecord) -> RunConfig:
        return RunConfig(
            state_file=self._store.place(batch) / "state.db",
            route="live",
            raw_files=False,
            allow_unpriced=True,
            prices=self._prices,
            pace=PaceCaps(concurrency=self._config.concurrency),
            go_on="what has not ended needs the gateway on the same folder",
        )

    def _over(self, batch: BatchRecord) -> Phase | None:
        if batch.cancelling_at is not None:
            return "cancelled"
        return "expired" if self._store.now() >= batch.expires_at else None

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), max(seconds, _TICK_SECONDS))


def _checked(path: Path, endpoint: str) -> InputCheck:
    """Check the input of a batch, as OpenAI does before it begins."""
    check = InputCheck(endpoint)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            check.line(number, line)
    return check


def wall_clock() -> float:
    """Seconds since the epoch."""
    return time.time()
