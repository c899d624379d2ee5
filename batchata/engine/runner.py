"""One run from its first look at the state file to its last settled job."""

from __future__ import annotations

import asyncio
import logging
from itertools import islice

from batchata.core.errors import ProviderRejectedError, QueueFullError
from batchata.core.events import OutcomesRecorded, SubmissionIntended, SubmissionMoved
from batchata.core.result import Failure, Reason
from batchata.core.retry import Backoff
from batchata.core.status import PENDING, JobStatus, RemoteState, SubmissionStatus
from batchata.core.submission import Outcome, Submission
from batchata.engine import shutdown
from batchata.engine.background import route_of
from batchata.engine.collecting import Collector
from batchata.engine.context import RunContext, first_error
from batchata.engine.deadlines import Deadlines
from batchata.engine.deduplication import Deduplicator
from batchata.engine.feeding import Feed
from batchata.engine.pilot import run_pilot
from batchata.engine.planning import Planner
from batchata.engine.poller import Poller
from batchata.engine.sending import Sender, TooLargeError
from batchata.engine.settling import ended, skipped
from batchata.engine.upload_cleaning import UploadCleaner
from batchata.engine.uploads import Uploads
from batchata.engine.waiting import first_of
from batchata.ports import BatchLook

log = logging.getLogger("batchata.engine")

#: how long a run that is done waits for what it tidies up
_TIDY_SECONDS = 1.5
#: more batches than this are worth a word: each may take a vendor hours
_MANY_BATCHES = 100
_QUEUE_BACKOFF = Backoff(first_seconds=30.0, most_seconds=600.0)
#: a single job that a queue refuses more often than this does not fit into it
_LONE_REFUSALS = 8


class Runner:
    """Plans, sends, watches and collects until nothing is left to do or a stop is asked for."""

    def __init__(
        self, context: RunContext, *, sends: bool = True, feed: Feed | None = None
    ) -> None:
        self._context = context
        self._feed = feed  #: of jobs that are not in the state file yet, and are asked one by one
        self._sends = sends
        self._uploads = Uploads(context)
        self._planner = Planner(context, self._uploads.plan)
        self._sender = Sender(context, self._uploads)
        self._collector = Collector(context, self._uploads)
        self._poller = Poller(context)
        self._shutdown = shutdown.Shutdown(context, self._sender.creating)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._queue_refusals = 0
        self.live = route_of(context, context.config.pace, self._uploads)
        self.live.expect(more=feed is not None)
        self._live_task: asyncio.Task[None] | None = None
        self._deadlines = Deadlines(context, self._planner, self._sender, self.live)

    @property
    def waiting(self) -> int:
        """Jobs that have not left yet."""
        return self._planner.waiting + self.live.waiting

    async def run(self) -> None:
        """Work until done or stopped; errors of the state file end the run and come out."""
        context = self._context
        self.live.recover()
        self._uploads.plan.make()
        try:
            async with asyncio.TaskGroup() as group:
                poller = group.create_task(self._poller.run())
                timer = group.create_task(self._deadlines.time_limit())
                stopper = group.create_task(self._deadlines.stop())
                tidier = group.create_task(self._sender.tidy())
                for submission in context.state.open_submissions():
                    if submission.route == "batch":
                        self._start(group, submission.token)
                await self._begin()
                deadline = group.create_task(self._deadlines.batches())
                feeding = group.create_task(self._take_in())
                await self._dispatch(group)
                feeding.cancel()
                if self._live_task is not None:
                    await self._live_task
                await self._shutdown.finish(self._tasks)
                if context.stop.cancels:  # every vendor is asked before the run leaves
                    await asyncio.wait({stopper}, timeout=self._shutdown.seconds())
                if not context.stop.is_asked:
                    await asyncio.wait({tidier}, timeout=_TIDY_SECONDS)
                    await self._sender.forget_left(_TIDY_SECONDS)
                for task in (poller, timer, stopper, tidier, deadline):
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        why = self._deadlines.why_unsent()
        if why is not None:
            self._end(list(context.state.pending()), JobStatus.CANCELLED, why)
        seconds = self._shutdown.seconds() if context.stop.is_asked else None
        await UploadCleaner(context, self._uploads).clean(seconds)

    async def _begin(self) -> None:
        context = self._context
        if not self._sends:
            return
        pending = list(context.state.pending())
        if context.config.dedupe:
            deduplicator = Deduplicator(context)
            context.complete = deduplicator.share
            pending = deduplicator.hold_back(pending)
        if context.config.pilot is not None and pending:
            pending = await run_pilot(
                context, self.live, context.config.pilot, context.decide, pending
            )
        self._queue(pending)
        self._warn_of_many(self._planner.waiting)

    async def _take_in(self) -> None:
        """Take in jobs while others are being asked."""
        if self._feed is not None:
            await self._feed.run(self.live, self._uploads.plan)

    def _queue(self, seqs: list[int], *, first: bool = False) -> None:
        context = self._context
        if not context.config.makes_batches or context.is_late:
            self.live.add(seqs)
            return
        if context.config.route == "auto":
            batchless = [seq for seq in seqs if self._is_batchless(seq)]
            self.live.add(batchless)
            seqs = [seq for seq in seqs if not self._is_batchless(seq)] if batchless else seqs
        self._planner.add(seqs, first=first)

    def _is_batchless(self, seq: int) -> bool:
        """True for a job whose provider can be asked live only."""
        found = self._context.providers.get(self._context.shape(seq).provider)
        return found is not None and found.batch is None

    def _start_live(self, group: asyncio.TaskGroup) -> None:
        if self.live.is_idle or self._is_live:
            return
        self._live_task = group.create_task(self.live.run())

        def done(_: asyncio.Task[None]) -> None:
            if not self.live.waiting:  # else it waits for money that a batch must give back
                self._context.changed.set()

        self._live_task.add_done_callback(done)

    @property
    def _is_live(self) -> bool:
        return self._live_task is not None and not self._live_task.done()

    def _warn_of_many(self, jobs: int) -> None:
        items = self._context.config.items_per_batch
        if items is not None and jobs > items * _MANY_BATCHES:
            log.warning(
                "items_per_batch=%d makes about %d batches of %d jobs, %d at a time; "
                "Batch(items_per_batch=None) makes them as large as the vendor takes",
                items,
                -(-jobs // items),
                jobs,
                self._context.config.max_parallel_batches,
            )

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        context, planner = self._context, self._planner
        while not context.stop.is_asked:
            context.changed.clear()
            planner.fund()
            self._launch(group)
            if not self._tasks:
                planner.is_last_money = True
                self._launch(group)
                planner.is_last_money = False
            self._start_live(group)
            if not self._tasks and not self._is_live:
                unaffordable = planner.unaffordable()
                if not unaffordable:
                    return
                self._record(skipped(context, unaffordable))
                continue
            await self._next_change()

    def _launch(self, group: asyncio.TaskGroup) -> None:
        leaving = self._planner.leaving
        room = self._context.config.max_parallel_batches - len(self._tasks)
        for seqs in islice(self._planner.chunks(), max(room, 0)):
            self._planner.take(seqs)
            leaving.append(self._sender.submission(seqs))
        if not leaving:
            return
        self._sender.intend(leaving)
        for submission in leaving:
            self._start(group, submission.token)
        leaving.clear()

    async def _next_change(self) -> None:
        await first_of(self._context.changed.wait(), self._context.stop.event.wait())

    def _start(self, group: asyncio.TaskGroup, token: str) -> None:
        task = group.create_task(self._follow(token))
        self._tasks[token] = task

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.pop(token, None)
            self._context.changed.set()

        task.add_done_callback(done)

    async def _follow(self, token: str) -> None:
        submission = self._context.state.submissions[token]
        # those that an earlier process settled, and that go again, wait in the line already
        seqs = self._context.state.unsettled(token)
        try:
            found = await self._ensure_sent(submission)
            if found is not None:
                await self._await_results(found)
        except QueueFullError as error:
            self._planner.learn_queue(submission)
            await self._wait_for_queue(error)
        except TooLargeError:
            self._planner.learn_size(submission)
        except ProviderRejectedError as error:
            self._reject(seqs, error)
        self._queue_again(seqs)

    async def _ensure_sent(self, submission: Submission) -> Submission | None:
        match submission.status:
            case SubmissionStatus.ACCEPTED:
                return submission
            case SubmissionStatus.INTENDED if self._context.stop.is_asked:
                await self._sender.give_back_new(submission.token)
                return None
            case _:
                return await self._sender.resolve(submission.token)

    async def _await_results(self, submission: Submission, refusals: int = 0) -> None:
        try:
            look = await self._poller.final(submission)
        except ProviderRejectedError as error:
            self._collector.give_up(submission, error)
            return
        if look is None:
            return
        if look.state is not RemoteState.FAILED or look.counts.succeeded:
            await self._collector.collect(submission, look)
        elif look.is_queue_full:
            await self._requeue(submission, look, refusals + 1)
        elif look.is_too_large and len(submission.seqs) > 1:
            await self._split(submission, _why(look))
        else:
            self._collector.refuse(submission, look)

    async def _split(self, submission: Submission, why: str) -> None:
        """Send the jobs again in halves, as the vendor wants smaller batches."""
        log.warning("batch %s: %s; sending smaller batches", submission.remote_id, why)
        self._planner.learn_size(submission)
        await self._sender.give_back(submission.token, why)

    async def _requeue(self, submission: Submission, look: BatchLook, refusals: int) -> None:
        """Send the same file again when the vendor's queue has room.

        A batch that is refused again though nothing else of ours is in the queue is sent in halves;
        a single job is given up in the end.
        """
        context = self._context
        why = _why(look)
        if refusals > 1 and self._planner.is_alone(submission):
            if len(submission.seqs) > 1:
                await self._split(submission, why)
                await self._back_off(refusals, why)
                return
            if refusals > _LONE_REFUSALS:
                self._collector.refuse(submission, look)
                return
        self._planner.learn_queue(submission)
        log.warning("batch %s: %s", submission.remote_id, why)
        again = Submission(
            token=context.new_token(),
            provider=submission.provider,
            endpoint=submission.endpoint,
            model=submission.model,
            wire_version=submission.wire_version,
            seqs=submission.seqs,
            status=SubmissionStatus.INTENDED,
            intended_us=context.now_us(),
            input_tokens=submission.input_tokens,
            size_bytes=submission.size_bytes,
            input_ref=submission.input_ref,
        )
        context.record(
            SubmissionMoved(token=submission.token, status=SubmissionStatus.DROPPED, note=why),
            SubmissionIntended(submission=again),
        )
        goes_on = await self._back_off(refusals, why)
        while goes_on and not self._planner.has_room(again):
            goes_on = await context.pause(5.0 * context.config.poll_factor)
        if not goes_on:
            await self._sender.give_back(again.token, "the run stopped before it was sent")
            return
        found = await self._sender.send(again.token)
        if found is not None:
            await self._await_results(found, refusals)

    async def _wait_for_queue(self, error: QueueFullError) -> None:
        self._queue_refusals += 1
        await self._back_off(self._queue_refusals, error.message, error.retry_after_seconds)

    async def _back_off(
        self, refusals: int, why: str, retry_after_seconds: float | None = None
    ) -> bool:
        """Wait for the vendor's queue to empty a little; True when the run goes on."""
        context = self._context
        wait = _QUEUE_BACKOFF.wait_seconds(refusals, context.clock.random, retry_after_seconds)
        context.notes["queue"] = f"waiting for room in the vendor's queue: {why}"
        goes_on = await context.pause(wait * context.config.poll_factor)
        context.notes.pop("queue", None)
        return goes_on

    def _queue_again(self, seqs: list[int]) -> None:
        state = self._context.state
        back = [seq for seq in seqs if state.wanted[seq] and state.status_of(seq) is PENDING]
        if back and self._sends:
            self._queue(back, first=True)

    def _reject(self, seqs: list[int], error: ProviderRejectedError) -> None:
        self._end(
            [seq for seq in seqs if self._context.state.status_of(seq) is JobStatus.PENDING],
            JobStatus.FAILED,
            Failure(Reason.BATCH_FAILED, error.message),
        )

    def _end(self, seqs: list[int], status: JobStatus, failure: Failure) -> None:
        self._record(ended(self._context, seqs, status, failure))

    def _record(self, outcomes: list[Outcome]) -> None:
        for start in range(0, len(outcomes), 1000):
            self._context.record(OutcomesRecorded(outcomes=outcomes[start : start + 1000]))


def _why(look: BatchLook) -> str:
    return look.failure.message if look.failure else "the vendor refused the batch"
