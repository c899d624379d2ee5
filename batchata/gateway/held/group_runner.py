"""Groups of held calls in progress, each a run that is carried on to its end across restarts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from batchata.core.errors import AccountStoppedError, BatchataError, StateError
from batchata.core.result import JobResult, Reason
from batchata.core.status import JobStatus
from batchata.gateway.held.asking import make_run
from batchata.gateway.held.folder import Group, HeldFolder, Request
from batchata.gateway.held.keys import HeldKeys
from batchata.gateway.held.settling import answered_of, refused
from batchata.gateway.held.waiting import HeldCall
from batchata.gateway.proxy.exchange import Answered, Exchange
from batchata.gateway.proxy.http.upstreams import Upstream, Upstreams
from batchata.gateway.wire.errors import VendorError
from batchata.run import BatchRun

LOG: Final = logging.getLogger("batchata.gateway")
#: seconds before a run that failed on a full disk or the like is retried
_AGAIN_SECONDS: Final = 30.0
#: seconds for which an answer is kept that nobody came back for
_KEPT_SECONDS: Final = 86_400.0
Settle = Callable[[Exchange, Answered], None]


class GroupRunner:
    """Sends groups, and sees that each call is answered and settled once."""

    def __init__(
        self,
        folder: HeldFolder,
        upstreams: Upstreams,
        prices: Mapping[str, Mapping[str, Any]],
        *,
        keys: HeldKeys,
        settle: Settle,
        forget: Callable[[HeldCall], None],
    ) -> None:
        self._folder = folder
        self._upstreams = {each.name: each for each in upstreams.all}
        self._prices = prices
        self._keys = keys
        self._settle = settle
        self._forget = forget  #: called for calls whose answers can no longer be given
        self._open: dict[str, dict[str, HeldCall]] = {}  #: calls not answered to a client, by group
        self._runs: set[BatchRun] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def open_calls(self) -> Iterator[HeldCall]:
        """Calls whose answer no client has received."""
        return (each for group in self._open.values() for each in group.values())

    def given(self, held: HeldCall) -> None:
        """Note that a client has the answer to a call."""
        group = held.group
        if group is None or group.id not in self._open:
            return
        del self._open[group.id][held.call.id]
        with contextlib.suppress(OSError):  # an equal call may then be given it again
            self._folder.given(group, held.call)
        if not self._open[group.id]:
            self._drop(group)

    def stop(self) -> None:
        """Send nothing more; what vendors have is collected by the next process."""
        if not self.ending.done():
            self.ending.set_result(None)
        for run in self._runs:
            run.stop("the gateway ends")

    async def aclose(self, seconds: float) -> None:
        """Stop, and wait up to `seconds` for groups to finish; the rest is left on disk as it is.

        Nothing is settled or written after this.
        """
        self.stop()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        if late:
            LOG.warning("%d groups of held calls are left for the next start", len(late))

    def carry(self, group: Group, calls: list[HeldCall]) -> None:
        """Start sending a group, and answer its calls."""
        self._open[group.id] = {each.call.id: each for each in calls}
        task = asyncio.get_running_loop().create_task(self._carried(group, calls))
        self._tasks.add(task)
        task.add_done_callback(partial(self._left, group))

    def _left(self, group: Group, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("held calls %s wait for the next start", group.id, exc_info=error)
            said = f"the gateway failed: {type(error).__name__}"
            self._refuse(group, Reason.OUTCOME_UNKNOWN, said)

    async def _carried(self, group: Group, calls: list[HeldCall]) -> None:
        """Carry on from the group's current state; it is on disk before the vendor hears of it."""
        while not self.ending.done():
            try:
                if calls[0].group is None and not await self._is_kept(group, calls):
                    return
                if await self._run(group):
                    break
            except (BatchataError, OSError) as error:
                LOG.error("held calls %s: %s", group.id, error)
                await self._keys.wait(self.ending, _AGAIN_SECONDS)
        if not self.ending.done():
            self._refuse(group, Reason.OUTCOME_UNKNOWN, "no answer came of this call")
            asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._drop, group)
        elif calls[0].group is None:
            for held in calls:
                self.unsent(held, "the gateway ended")

    async def _is_kept(self, group: Group, calls: list[HeldCall]) -> bool:
        """Store a group; False when that fails, and its calls are refused."""
        requests = [Request(each.call, group.endpoint, each.body) for each in calls]
        try:
            await asyncio.to_thread(self._folder.keep, group, requests)
        except StateError as error:
            LOG.error("%s", error)
            del self._open[group.id]
            body = VendorError(status=503, message=error.message).body(group.vendor)
            for held in calls:
                held.end(503, body)
                self.unsent(held, error.message)
            return False
        for held in calls:
            held.group, held.body = group, b""
        return True

    async def _run(self, group: Group) -> bool:
        """Send what is not answered yet; False when the gateway stops before that is done."""
        ready = await self._ready(group)
        if ready is None:
            return False
        upstream, keys = ready
        run = await asyncio.to_thread(
            make_run,
            group,
            upstream,
            keys,
            input_file=self._folder.input_of(group),
            state_file=self._folder.state_of(group),
            prices=self._prices,
        )
        if self.ending.done():
            return False
        self._runs.add(run)
        fresh: list[JobResult] = []
        ending: asyncio.Task[None] | None = None
        try:
            async for result in run.stream():
                fresh.append(result)
                if ending is None or ending.done():
                    if ending is not None:
                        ending.result()  # the disk may have refused
                    ending = asyncio.ensure_future(self._end(group, fresh))
        except AccountStoppedError as error:
            if run.view.submitted:  # paid for, and collected once the account works again
                raise
            self._refuse(group, Reason.ACCOUNT, error.message)
            return True
        finally:
            self._runs.discard(run)
            run.stop("its results cannot be taken")
            if ending is not None:
                await ending
        return run.is_complete

    async def _ready(self, group: Group) -> tuple[Upstream, Mapping[str, str]] | None:
        """Where to send a group, and with whose key; None if the gateway stops before."""
        upstream = self._upstreams.get(group.upstream)
        while not self.ending.done():
            keys = None if upstream is None else self._keys.of(group.owner, upstream)
            if upstream is not None and keys is not None:
                return upstream, keys
            LOG.info("held calls %s go on when their client asks again", group.id)
            await self._keys.wait(self.ending, _KEPT_SECONDS)
        return None

    async def _end(self, group: Group, fresh: list[JobResult]) -> None:
        """Answer calls, including those that come in meanwhile."""
        while fresh:
            results, fresh[:] = fresh[:], []
            found = self._open.get(group.id, {})
            calls = [(found.get(each.job_id), each) for each in results]
            new = [(held, each) for held, each in calls if held and not held.done.done()]
            ids = [held.call.id for held, _ in new if held.exchange is not None]
            await asyncio.to_thread(self._folder.settled, group, ids)
            for held, each in new:
                if each.status is JobStatus.SUCCEEDED:
                    self._have(held, 200, (each.raw_response or "null").encode(), each)
                else:
                    said = refused(group.vendor, each.reason, each.error or "no answer came")
                    self._have(held, *said, each)

    def _refuse(self, group: Group, reason: Reason, message: str) -> None:
        open_calls = self._open.get(group.id, {}).values()
        calls = [each for each in open_calls if not each.done.done()]
        kept = [each for each in calls if each.group is not None and each.exchange is not None]
        self._folder.settled(group, [each.call.id for each in kept])
        for held in calls:
            self._have(held, *refused(group.vendor, reason, message), None)

    def _have(self, held: HeldCall, status: int, body: bytes, result: JobResult | None) -> None:
        held.end(status, body)
        exchange, held.exchange = held.exchange, None
        if exchange is not None:
            self._settle(exchange, answered_of(exchange, status, body, result))

    def unsent(self, held: HeldCall, why: str) -> None:
        """End a call that never reached a vendor and costs nothing."""
        exchange, held.exchange = held.exchange, None
        if exchange is not None:
            answered = Answered(status=503, ending="unreachable", error=why)
            self._settle(exchange, answered)

    def _drop(self, group: Group) -> None:
        for held in self._open.pop(group.id, {}).values():
            self._forget(held)
        self._folder.drop(group)
