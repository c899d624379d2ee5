"""The live route: one call a job, many at once, written down before they leave and as they end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from batchata.core.events import Durable, OutcomesRecorded, SubmissionIntended
from batchata.core.pacing import PaceCaps
from batchata.core.progress import LiveView
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape, Submission
from batchata.engine.calls import Calls
from batchata.engine.context import RunContext, Supply
from batchata.engine.lane import Lane
from batchata.engine.leases import Ask, Leases
from batchata.engine.settling import skipped
from batchata.engine.uploads import Uploads
from batchata.engine.waiting import first_of
from batchata.ports import LiveAPI

#: a group of answers is committed when it is this old, or as large as the config says
_COMMIT_SECONDS = 0.1
_LEASE_LEAST, _LEASE_MOST = 32, 500


class LiveRoute:
    """Sends pending jobs live until none is left or the run stops."""

    def __init__(self, context: RunContext, caps: PaceCaps, uploads: Uploads) -> None:
        self._context = context
        context.supply = self.supply
        self._caps = caps
        self._calls: Calls = Calls(context, uploads)
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._lane_of: dict[int, Lane] = {}
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
        lanes = self._lanes.values()
        return len(self._waiting) + sum(len(lane.ready) + len(lane.asks) for lane in lanes)

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to send, and nothing will come."""
        return not self.waiting and not self.is_fed

    def supply(self, most: int) -> Supply:
        """What there is money for, and the next `most` jobs that wait for some."""
        lanes = self._lanes.values()
        bounds = self._context.state.cost_bound
        return Supply(
            earmarked=self._earmarked,
            ready=sum(len(lane.ready) + len(lane.asks) for lane in lanes),
            bounds=[bounds[seq] for seq in islice(self._waiting, most)],
        )

    @property
    def view(self) -> LiveView | None:
        """Its calls now; None when it has none and expects none."""
        if not self.waiting and not self._tasks:
            return None
        now = self._context.clock.monotonic()
        lanes = self._lanes.values()
        return LiveView(
            in_flight=self._calls.in_flight,
            throttled=sum(lane.pace.throttled for lane in lanes),
            paused_seconds=max((lane.pace.paused_seconds(now) for lane in lanes), default=0.0),
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

    async def _send_all(self) -> None:
        while True:
            self._wake.clear()
            is_stopping = self._context.stop.is_asked
            if not is_stopping:
                self._fund()
            self._commit(leases=not is_stopping)
            if is_stopping:
                self._give_back()
            for lane in self._lanes.values():
                self._launch(lane)
            if not self._tasks and not self._ended and not self._goes_on(is_stopping):
                self._calls.raw.write()
                break
            await self._pause()

    def _goes_on(self, is_stopping: bool) -> bool:
        if is_stopping:
            return False
        if any(lane.ready or lane.asks for lane in self._lanes.values()):
            return True
        dear = self._too_dear()
        if dear:
            self._context.record(OutcomesRecorded(outcomes=skipped(self._context, dear)))
        if dear or self._fits_next():
            self._wake.set()  # there is nothing to wait for
            return True
        return self.is_fed or (bool(self._waiting) and self._context.awaits_money)

    def _awaits_answers(self) -> bool:
        return bool(self._tasks)

    def _may_free(self) -> bool:
        """True while something is in flight that may give money back, or more may come."""
        return self._context.state.cost.reserved > 0 or self._context.awaits_money

    def _too_dear(self) -> list[int]:
        """Jobs that do not fit although nothing is in flight that may give money back."""
        cost, bounds = self._context.state.cost, self._context.state.cost_bound
        dear: list[int] = []
        while not self._may_free() and self._waiting and not cost.fits(bounds[self._waiting[0]]):
            dear.append(self._waiting.popleft())
        return dear

    def _fund(self) -> None:
        while self._fits_next():
            seq = self._waiting.popleft()
            self._earmarked += self._context.state.cost_bound[seq]
            self._lane(seq).ready.append(seq)

    def _fits_next(self) -> bool:
        state = self._context.state
        if not self._waiting:
            return False
        return state.cost.fits(self._earmarked + state.cost_bound[self._waiting[0]])

    def _lane(self, seq: int) -> Lane:
        context = self._context
        number = context.state.shape_of[seq]
        lane = self._lane_of.get(number)
        if lane is None:
            shape = context.state.shapes[number]
            lane = self._lanes.get((shape.provider, shape.model))
            if lane is None:
                lane = self._make_lane(shape)
                self._lanes[shape.provider, shape.model] = lane
            self._lane_of[number] = lane
        return lane

    def _make_lane(self, shape: Shape) -> Lane:
        name, model = shape.provider, shape.model
        api, codec = self._caller_of(name), self._context.providers[name].codec
        now = self._context.clock.monotonic()
        hurry = self._context.config.poll_factor
        pace = self._context.paces.of(name, model, self._caps, now, hurry=hurry)
        return Lane(name, model, f"{name}:{model}", api, codec, pace)

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
        new = [made for lane in self._lanes.values() if leases for made in self._lease(lane)]
        news = self._news()
        is_needed = bool(new or is_due or news)
        if (is_needed and self._ended) or self._calls.raw.is_full:
            self._calls.raw.write()
        if not is_needed:
            return
        ended, self._ended = self._ended, []
        self._waiting.extend(each.seq for each in ended if each.status is JobStatus.PENDING)
        intents = (SubmissionIntended(submission=submission) for submission, _ in new)
        context.record(*news, *self._leases.ended(ended), *intents)
        self._committed()
        for submission, lane in new:
            lane.asks.extend(self._leases.open(submission))

    def _news(self) -> list[Durable]:
        """What else is to be written down with the next commit, and at once."""
        return []

    def _committed(self) -> None:
        """Everything so far is on disk."""

    def _has_place(self, lane: Lane) -> bool:
        """True when one more job of the lane may be on its way."""
        return True

    def _lease(self, lane: Lane) -> list[tuple[Submission, Lane]]:
        """Write down the jobs that may leave before the next commit, where few are left."""
        window = int(lane.pace.window)
        if not lane.ready or len(lane.asks) >= window:
            return []
        size = min(len(lane.ready), max(_LEASE_LEAST, min(2 * window, _LEASE_MOST)))
        seqs = [lane.ready.popleft() for _ in range(size)]
        self._earmarked -= self._context.state.bounds_of(seqs)
        return [(submission, lane) for submission in self._leases.intend(seqs)]

    def _give_back(self) -> None:
        """What did not leave is surely not billed: its money is free again."""
        unsent: list[Ask] = []
        for lane in self._lanes.values():
            self._earmarked -= self._context.state.bounds_of(lane.ready)
            self._waiting.extend(lane.ready)
            lane.ready.clear()
            unsent.extend(lane.asks)
            lane.asks.clear()
        self._leases.give_back(unsent)

    def _launch(self, lane: Lane) -> None:
        """Let as many calls leave as the pace allows now."""
        if self._group is None:
            return
        while (ask := self._next(lane)) is not None:
            task = self._group.create_task(self._work(lane, ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(lane.asks) < int(lane.pace.window) and lane.ready:
            self._wake.set()

    def _next(self, lane: Lane) -> Ask | None:
        """The call that leaves now; None when none may."""
        context = self._context
        if not lane.asks or context.stop.is_asked or not self._has_place(lane):
            return None
        now = context.clock.monotonic()
        tokens = lane.tokens(context.state.input_bound[lane.asks[0].seq])
        wait = lane.pace.wait_seconds(tokens, now)
        if wait is None:
            return None
        if wait > 0:
            self._wake_later(lane, wait)
            return None
        ask = lane.asks.popleft()
        lane.pace.sent(tokens, now)
        ask.sent_at, ask.tokens = now, tokens
        return ask

    def _wake_later(self, lane: Lane, wait: float) -> None:
        if lane.is_waking or self._group is None:
            return
        lane.is_waking = True

        async def wake() -> None:
            await self._context.pause(wait)
            lane.is_waking = False
            self._wake.set()

        self._group.create_task(wake())

    async def _work(self, lane: Lane, ask: Ask | None) -> None:
        """One call after another, each in the place that the last one leaves free."""
        while ask is not None:
            outcome = await self._calls.make(lane, ask)
            if outcome is not None:
                self._end(outcome)
            elif not ask.is_begun:
                lane.asks.appendleft(ask)
            ask = self._next(lane)
            self._launch(lane)  # the window may have grown
            if ask is None or len(self._ended) in (1, self._context.config.commit_rows):
                self._wake.set()  # to commit, or to set the time for it
            if not lane.asks:
                self._context.paces.freed()

    def _end(self, outcome: Outcome) -> None:
        if not self._ended:
            self._since = self._context.clock.monotonic()
        self._ended.append(outcome)

    async def _pause(self) -> None:
        """Until something changed; no longer than a group of answers may wait for its commit."""
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
