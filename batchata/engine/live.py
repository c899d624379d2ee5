"""The live route: one call a job, many at once, written down before they leave and as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from msgspec.structs import replace

from batchata.core.events import Durable, OutcomesRecorded, SubmissionIntended
from batchata.core.pacing import PaceCaps
from batchata.core.progress import LiveView
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape, Submission
from batchata.engine.calls import Calls
from batchata.engine.context import RunContext, Supply
from batchata.engine.leases import Ask, Leases
from batchata.engine.model_queue import ModelQueue
from batchata.engine.settling import ended, skipped
from batchata.engine.uploads import Uploads
from batchata.engine.waiting import first_of
from batchata.ports import LiveAPI

#: a group of answers is committed when it is this old, or as large as the config says
_COMMIT_SECONDS = 0.1
_LEASE_LEAST, _LEASE_MOST = 32, 500
_REFUSED_GROUP = 1000


class LiveRoute:
    """Sends pending jobs live until none is left or the run stops."""

    def __init__(self, context: RunContext, caps: PaceCaps, uploads: Uploads) -> None:
        self._context = context
        context.supply = self.supply
        self._caps = caps
        self._calls: Calls = Calls(context, uploads)
        self._queues: dict[tuple[str, str], ModelQueue] = {}
        self._queue_of: dict[int, ModelQueue] = {}
        self._waiting: deque[int] = deque()
        self._earmarked = 0
        self._ended: list[Outcome] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._leases = Leases(context)
        self._group: asyncio.TaskGroup | None = None
        self._wake = asyncio.Event()
        self._since = 0.0  #: when the oldest uncommitted answer came
        self.is_fed = False  #: more jobs may be added: their script is still being read

    @property
    def waiting(self) -> int:
        """Jobs that have not left yet."""
        queues = self._queues.values()
        return len(self._waiting) + sum(len(queue.ready) + len(queue.asks) for queue in queues)

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to send, and nothing will come."""
        return not self.waiting and not self.is_fed

    def supply(self, most: int) -> Supply:
        """What has money set aside, and the next `most` jobs that wait for some."""
        queues = self._queues.values()
        bounds = self._context.state.cost_bound
        return Supply(
            earmarked=self._earmarked,
            ready=sum(len(queue.ready) + len(queue.asks) for queue in queues),
            bounds=[bounds[seq] for seq in islice(self._waiting, most)],
        )

    @property
    def view(self) -> LiveView | None:
        """The calls in flight; None when there are none and none are expected."""
        if not self.waiting and not self._tasks:
            return None
        now = self._context.clock.monotonic()
        queues = self._queues.values()
        return LiveView(
            in_flight=self._calls.in_flight,
            throttled=sum(queue.pace.throttled for queue in queues),
            paused_seconds=max((queue.pace.paused_seconds(now) for queue in queues), default=0.0),
        )

    def add(self, seqs: Sequence[int]) -> None:
        """Queue pending jobs, in order."""
        self._waiting.extend(seqs)
        self._wake.set()

    def expect(self, *, more: bool) -> None:
        """Say whether more jobs may be added; until the last one the route does not end."""
        self.is_fed = more
        self._wake.set()

    def recover(self) -> None:
        """Calls that an earlier process may have made go again, and may have been billed."""
        self._leases.recover()

    async def run(self) -> None:
        """Send everything; at a stop wait for the calls in flight, which are paid for."""
        self._context.paces.join(self._wake)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await self._send_all()
        finally:
            self._context.paces.leave(self._wake)
            self._keep()

    def _keep(self) -> None:
        """Answers that came are paid for, whatever has ended the route."""
        if self._context.has_failed:
            return
        came, self._ended = self._ended, []
        news = [*self._last_news(), *self._leases.ended(came)]
        if news:
            self._context.record(*news)

    async def _send_all(self) -> None:
        while True:
            self._wake.clear()
            is_stopping = self._context.stop.is_asked
            if not is_stopping:
                self._fund()
            self._commit(leases=not is_stopping)
            if is_stopping:
                self._give_back()
            for queue in self._queues.values():
                self._refuse(queue)
                self._launch(queue)
            if not self._tasks and not self._ended and not self._goes_on(is_stopping):
                self._calls.raw.write()
                break
            await self._pause()

    def _goes_on(self, is_stopping: bool) -> bool:
        if is_stopping:
            return False
        if any(queue.ready or queue.asks for queue in self._queues.values()):
            return True
        unaffordable = self._unaffordable()
        if unaffordable:
            self._context.record(OutcomesRecorded(outcomes=skipped(self._context, unaffordable)))
        if unaffordable or self._fits_next():
            self._wake.set()  # there is nothing to wait for
            return True
        return self.is_fed or (bool(self._waiting) and self._context.awaits_money)

    def _awaits_answers(self) -> bool:
        return bool(self._tasks)

    def _may_free_money(self) -> bool:
        """True while something is in flight that may give money back, or more may come."""
        return self._context.state.cost.reserved > 0 or self._context.awaits_money

    def _unaffordable(self) -> list[int]:
        """Jobs that do not fit although nothing is in flight that may give money back."""
        cost, bounds = self._context.state.cost, self._context.state.cost_bound
        found: list[int] = []
        while (
            not self._may_free_money() and self._waiting and not cost.fits(bounds[self._waiting[0]])
        ):
            found.append(self._waiting.popleft())
        return found

    def _fund(self) -> None:
        while self._fits_next():
            seq = self._waiting.popleft()
            self._earmarked += self._context.state.cost_bound[seq]
            self._queue(seq).ready.append(seq)

    def _fits_next(self) -> bool:
        state = self._context.state
        if not self._waiting:
            return False
        return state.cost.fits(self._earmarked + state.cost_bound[self._waiting[0]])

    def _queue(self, seq: int) -> ModelQueue:
        context = self._context
        number = context.state.shape_of[seq]
        queue = self._queue_of.get(number)
        if queue is None:
            shape = context.state.shapes[number]
            queue = self._queues.get((shape.provider, shape.model))
            if queue is None:
                queue = self._make_queue(shape)
                self._queues[shape.provider, shape.model] = queue
            self._queue_of[number] = queue
        return queue

    def _make_queue(self, shape: Shape) -> ModelQueue:
        name, model = shape.provider, shape.model
        api, codec = self._caller_of(name), self._context.providers[name].codec
        now = self._context.clock.monotonic()
        hurry = self._context.config.poll_factor
        pace = self._context.paces.of(name, model, self._caps, now, hurry=hurry)
        return ModelQueue(name, model, f"{name}:{model}", api, codec, pace)

    def _caller_of(self, provider: str) -> LiveAPI:
        return self._context.live(provider)

    def _commit(self, *, leases: bool) -> None:
        """Answers and new leases in one transaction."""
        context = self._context
        is_due = self._ended and (
            len(self._ended) >= context.config.commit_rows
            or context.clock.monotonic() - self._since >= _COMMIT_SECONDS
            or not self._awaits_answers()
        )
        new = [made for queue in self._queues.values() if leases for made in self._lease(queue)]
        news = self._news()
        is_needed = bool(new or is_due or news)
        if (is_needed and self._ended) or self._calls.raw.is_full:
            self._calls.raw.write()
        if not is_needed:
            return
        came, self._ended = self._ended, []
        self._waiting.extend(each.seq for each in came if each.status is JobStatus.PENDING)
        intents = (SubmissionIntended(submission=submission) for submission, _ in new)
        context.record(*news, *self._leases.ended(came), *intents)
        self._committed()
        for submission, queue in new:
            queue.asks.extend(self._leases.open(submission))

    def _news(self) -> list[Durable]:
        """What else the next commit has to hold; it is made at once for them."""
        return []

    def _last_news(self) -> list[Durable]:
        """What of it holds when nothing leaves any more."""
        return []

    def _committed(self) -> None:
        """Called when everything so far is on disk."""

    def _has_place(self, queue: ModelQueue) -> bool:
        """True when one more job of the queue may be on its way."""
        return True

    def _lease(self, queue: ModelQueue) -> list[tuple[Submission, ModelQueue]]:
        """Write down the jobs that may leave before the next commit, where few are left."""
        window = int(queue.pace.window)
        if not queue.ready or len(queue.asks) >= window:
            return []
        size = min(len(queue.ready), max(_LEASE_LEAST, min(2 * window, _LEASE_MOST)))
        seqs = [queue.ready.popleft() for _ in range(size)]
        self._earmarked -= self._context.state.bounds_of(seqs)
        return [(submission, queue) for submission in self._leases.intend(seqs)]

    def _give_back(self) -> None:
        """Release the money of jobs that did not leave, which are surely not billed."""
        unsent: list[Ask] = []
        for queue in self._queues.values():
            self._earmarked -= self._context.state.bounds_of(queue.ready)
            self._waiting.extend(queue.ready)
            queue.ready.clear()
            unsent.extend(queue.asks)
            queue.asks.clear()
        self._leases.give_back(unsent)

    def _refuse(self, queue: ModelQueue) -> None:
        """End the jobs of a model that the vendor does not have."""
        if queue.refusal is None:
            return
        context, failure, failed = self._context, queue.refusal, JobStatus.FAILED
        asks, ready = list(queue.asks), list(queue.ready)
        queue.asks.clear()
        queue.ready.clear()
        self._earmarked -= context.state.bounds_of(ready)
        outcomes = ended(context, [ask.seq for ask in asks], failed, failure)
        for ask, outcome in zip(asks, outcomes, strict=True):
            self._end(replace(outcome, token=ask.token))
        for start in range(0, len(ready), _REFUSED_GROUP):
            group = ready[start : start + _REFUSED_GROUP]
            context.record(OutcomesRecorded(outcomes=ended(context, group, failed, failure)))

    def _launch(self, queue: ModelQueue) -> None:
        """Let as many calls leave as the pace allows now."""
        if self._group is None:
            return
        while (ask := self._next(queue)) is not None:
            task = self._group.create_task(self._work(queue, ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(queue.asks) < int(queue.pace.window) and queue.ready:
            self._wake.set()

    def _next(self, queue: ModelQueue) -> Ask | None:
        """The next call that may leave now, if any."""
        context = self._context
        is_closed = context.stop.is_asked or queue.refusal is not None
        if not queue.asks or is_closed or not self._has_place(queue):
            return None
        now = context.clock.monotonic()
        tokens = queue.tokens(context.state.input_bound[queue.asks[0].seq])
        wait = queue.pace.wait_seconds(tokens, now)
        if wait is None:
            return None
        if wait > 0:
            self._wake_later(queue, wait)
            return None
        ask = queue.asks.popleft()
        queue.pace.sent(tokens, now)
        ask.sent_at, ask.tokens = now, tokens
        return ask

    def _wake_later(self, queue: ModelQueue, wait: float) -> None:
        if queue.is_waking or self._group is None:
            return
        queue.is_waking = True

        async def wake() -> None:
            await self._context.pause(wait)
            queue.is_waking = False
            self._wake.set()

        self._group.create_task(wake())

    async def _work(self, queue: ModelQueue, ask: Ask | None) -> None:
        """Make one call after another, each in the place that the last one left free."""
        while ask is not None:
            outcome = await self._calls.make(queue, ask)
            if outcome is not None:
                self._end(outcome)
            elif not ask.is_begun:
                queue.asks.appendleft(ask)
            ask = self._next(queue)
            self._launch(queue)  # the window may have grown
            if ask is None or len(self._ended) in (1, self._context.config.commit_rows):
                self._wake.set()  # to commit, or to set the time for it
            if not queue.asks:
                self._context.paces.freed()

    def _end(self, outcome: Outcome) -> None:
        if not self._ended:
            self._since = self._context.clock.monotonic()
        self._ended.append(outcome)

    async def _pause(self) -> None:
        """Wait for a change, but no longer than a group of answers may wait for its commit."""
        context = self._context
        if self._ended:
            age = context.clock.monotonic() - self._since
            full = len(self._ended) >= context.config.commit_rows
            if full or not self._awaits_answers():
                await asyncio.sleep(0)
                return
            wait = max(0.0, _COMMIT_SECONDS - age)
        else:
            wait = 1.0
        await first_of(context.clock.sleep(wait), self._wake.wait())
