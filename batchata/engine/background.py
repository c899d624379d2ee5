"""The background route: begun as live calls are, written down at once, fetched when they are done.

Nobody can look for a response whose id was lost. So each job is a submission of its own:
INTENDED (nothing has left), CREATING (the call may have left), then ACCEPTED with the vendor's id,
or UNRESOLVED when the call has no answer: only the user's word sends such a job again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from batchata.core.errors import ProviderRejectedError
from batchata.core.events import Durable, SubmissionMoved
from batchata.core.pacing import PaceCaps
from batchata.core.progress import LiveView
from batchata.core.result import Failure, Reason
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Outcome, Submission
from batchata.engine.background_calls import BackgroundCalls, SubmissionMoves
from batchata.engine.context import RunContext
from batchata.engine.leases import Ask, Leases
from batchata.engine.live import LiveRoute
from batchata.engine.model_queue import ModelQueue
from batchata.engine.response_poller import ResponsePoller, Watch
from batchata.engine.uploads import Uploads
from batchata.ports import LiveAPI, ResponseLook

log = logging.getLogger("batchata.engine")

_GROUP = 1000


def route_of(context: RunContext, caps: PaceCaps, uploads: Uploads) -> LiveRoute:
    """The route of calls that are made one by one: live, or in the background."""
    opened = context.state.open_submissions()
    is_needed = any(each.route == "background" for each in opened)
    kind = BackgroundRoute if is_needed or context.config.route == "background" else LiveRoute
    return kind(context, caps, uploads)


class _OneByOne(Leases):
    """Each job is a submission of its own."""

    def intend(self, seqs: Sequence[int]) -> list[Submission]:
        """What is to be written down before these jobs leave."""
        return [self._submission([seq], "background", SubmissionStatus.INTENDED) for seq in seqs]


class BackgroundRoute(LiveRoute):
    """Begins responses and fetches them, those of an earlier run on any route too."""

    def __init__(self, context: RunContext, caps: PaceCaps, uploads: Uploads) -> None:
        super().__init__(context, caps, uploads)
        self._begins = context.config.route == "background"
        self._moves = SubmissionMoves(self._wake)
        self._responses = ResponsePoller(context, self._came, self._gone)
        self._stuck = 0  #: money of jobs that may have been begun, 1e-12 USD
        if self._begins:
            self._leases = _OneByOne(context)
            self._calls = BackgroundCalls(
                context, uploads, self._moves, self._begun, self._unresolved
            )

    @property
    def is_idle(self) -> bool:
        """True when there is nothing to send and nothing to wait for."""
        return super().is_idle and not self._responses.open.total()

    @property
    def view(self) -> LiveView | None:
        """Its calls and responses now; None when it has none and expects none."""
        calls, responses = super().view, self._responses.open.total()
        if not responses:
            return calls
        calls = calls or LiveView(in_flight=0)
        return replace(calls, in_flight=calls.in_flight + responses)

    def recover(self) -> None:
        """Take over what an earlier process began, or may have begun."""
        super().recover()
        opened = [e for e in self._context.state.open_submissions() if e.route == "background"]
        for start in range(0, len(opened), _GROUP):
            ended = [
                outcome
                for submission in opened[start : start + _GROUP]
                if (outcome := self._take_up(submission)) is not None
            ]
            self._context.record(*self._moves.take(), *self._leases.ended(ended))

    def _take_up(self, submission: Submission) -> Outcome | None:
        (seq,), token = submission.seqs, submission.token
        self._leases.adopt(submission)
        match submission.status:
            case SubmissionStatus.INTENDED:
                self._leases.drop(token)
                why = "the run stopped before it left"
                self._moves.add(
                    SubmissionMoved(token=token, status=SubmissionStatus.DROPPED, note=why)
                )
            case SubmissionStatus.ACCEPTED:
                self._watch(seq, submission, submission.remote_id or "", 0.0)
            case SubmissionStatus.UNRESOLVED:
                return self._unresolved(seq, token, submission.note or "it has no answer")
            case _:
                why = "an earlier process ended before the vendor's answer came"
                return self._unresolved(seq, token, why)
        return None

    async def _send_all(self) -> None:
        assert self._group is not None
        asking = self._group.create_task(self._responses.run())
        asking.add_done_callback(lambda _: self._wake.set())
        await super()._send_all()
        asking.cancel()

    def _goes_on(self, is_stopping: bool) -> bool:
        return super()._goes_on(is_stopping) or self._responses.is_busy

    def _awaits_answers(self) -> bool:
        return super()._awaits_answers() or self._responses.is_busy

    def _may_free_money(self) -> bool:
        return self._context.state.cost.reserved > self._stuck

    def _has_place(self, queue: ModelQueue) -> bool:
        most = self._caps.concurrency
        begun = self._responses.open[queue.provider, queue.model]
        return not self._begins or most is None or begun + queue.pace.in_flight < most

    def _caller_of(self, provider: str) -> LiveAPI:
        context = self._context
        return context.background(provider) if self._begins else context.live(provider)

    def _news(self) -> list[Durable]:
        return list[Durable](self._moves.take())

    def _last_news(self) -> list[Durable]:
        creating = SubmissionStatus.CREATING  # those calls wait for their commit, and never left
        return [each for each in self._moves.take() if each.status is not creating]

    def _committed(self) -> None:
        self._moves.written()

    def _begun(self, ask: Ask, response_id: str, wait_seconds: float | None) -> None:
        submission = self._context.state.submissions[ask.token]
        if wait_seconds is None:
            wait_seconds = self._context.background(submission.provider).poll_seconds
        self._watch(ask.seq, submission, response_id, wait_seconds, tokens=ask.tokens)

    def _watch(
        self,
        seq: int,
        submission: Submission,
        response_id: str,
        wait_seconds: float,
        tokens: int | None = None,
    ) -> None:
        watch = Watch(
            seq=seq,
            token=submission.token,
            response_id=response_id,
            model_key=(submission.provider, submission.model),
            api=self._context.background(submission.provider),
            since=self._context.clock.monotonic(),
            tokens=tokens,
        )
        self._responses.watch(watch, wait_seconds)

    def _unresolved(self, seq: int, token: str, why: str) -> Outcome | None:
        """A job that may have been begun: left as it is, unless the user wants it sent again."""
        context = self._context
        if context.config.on_unresolved == "resubmit":
            return self._calls.failed(seq, token, Failure(Reason.OUTCOME_UNKNOWN, why))
        said = (
            f"submission {token} is unresolved: {why}; a response without its id cannot be found, "
            'to send it again: set_stop(on_unresolved="resubmit")'
        )
        log.warning("%s", said)
        context.notes[token] = said
        self._stuck += context.state.cost_bound[seq]
        moved = SubmissionMoved(token=token, status=SubmissionStatus.UNRESOLVED, note=why)
        self._moves.add(moved)
        return None

    def _end(self, outcome: Outcome) -> None:
        super()._end(outcome)
        if len(self._ended) in (1, self._context.config.commit_rows):
            self._wake.set()

    async def _came(self, watch: Watch, look: ResponseLook) -> None:
        """A response has ended, well or not."""
        context = self._context
        shape = context.shape(watch.seq)
        self._calls.raw.keep_fetched(watch.seq, watch.response_id, look.body)
        answer = context.providers[shape.provider].codec.decode(shape, look.body)
        if isinstance(answer, Failure):
            if answer.reason is Reason.ACCOUNT:
                self._calls.stop(shape.provider, answer)
            self._end(self._calls.failed(watch.seq, watch.token, answer))
            return
        queue = self._queues.get(watch.model_key)
        if queue is not None and watch.tokens is not None:
            queue.learn(watch.tokens, answer.usage, context.clock.monotonic())
        self._end(
            await self._calls.settled(watch.seq, watch.token, shape, answer, watch.response_id)
        )

    def _gone(self, watch: Watch, error: ProviderRejectedError) -> None:
        said = f"response {watch.response_id} has expired: {error.message}"
        log.error("%s", said)
        failure = Failure(Reason.RESULTS_GONE, said, status=error.status)
        self._end(self._calls.failed(watch.seq, watch.token, failure))
