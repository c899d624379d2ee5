"""A call that only starts a response: on disk before it leaves, and as soon as it has an id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from batchata.core.errors import OutcomeUnknownError
from batchata.core.events import SubmissionMoved
from batchata.core.result import Answer, Failure
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Outcome
from batchata.engine.calls import Calls
from batchata.engine.context import RunContext
from batchata.engine.leases import Ask
from batchata.engine.model_queue import ModelQueue
from batchata.engine.uploads import Uploads
from batchata.ports import LiveReply

#: a job, its response's id, and for how long the vendor wants to be left alone
Begun = Callable[[Ask, str, float | None], None]
#: a job, its submission's token, and why it may have been begun
Unresolved = Callable[[int, str, str], Outcome | None]


class SubmissionMoves:
    """Moves to be written with the next commit, which they wake, and the tasks that wait for it."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._moves: list[SubmissionMoved] = []
        self._waiting: list[asyncio.Future[None]] = []

    def add(self, move: SubmissionMoved) -> None:
        """A submission is in another state."""
        self._moves.append(move)
        self._wake.set()

    def take(self) -> list[SubmissionMoved]:
        """The moves to commit now."""
        moves, self._moves = self._moves, []
        return moves

    def written(self) -> None:
        """Everything so far is on disk."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def on_disk(self) -> None:
        """Wait until everything so far is on disk."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        await done


class BackgroundCalls(Calls):
    """Begins responses, and tells `begun` of each; `unresolved` of those that may have begun."""

    def __init__(
        self,
        context: RunContext,
        uploads: Uploads,
        moves: SubmissionMoves,
        begun: Begun,
        unresolved: Unresolved,
    ) -> None:
        super().__init__(context, uploads)
        self._moves = moves
        self._begun = begun
        self._unresolved = unresolved

    async def _body(self, queue: ModelQueue, ask: Ask) -> bytes | Outcome | None:
        body = await super()._body(queue, ask)
        if not isinstance(body, bytes):
            return body
        self._moves.add(
            SubmissionMoved(
                token=ask.token, status=SubmissionStatus.CREATING, sent_us=self._context.now_us()
            )
        )
        await self._moves.on_disk()
        if not self._context.stop.is_asked:
            return body
        self._moves.add(_back(ask))
        queue.pace.failed()
        return None

    def _is_refusal(self, failure: Failure) -> bool:
        return False  # whatever it says, with a good status it may have begun

    async def _answered(
        self, queue: ModelQueue, ask: Ask, reply: LiveReply, answer: Answer | Failure, now: float
    ) -> Outcome | None:
        context = self._context
        queue.pace.answered(reply.quota, now)
        queue.is_known = True
        context.notes.pop(queue.note, None)
        try:
            response_id = context.background(queue.provider).id_of(reply.body or b"")
        except OutcomeUnknownError as error:
            return self._unknown(ask, error)
        self._moves.add(
            SubmissionMoved(
                token=ask.token,
                status=SubmissionStatus.ACCEPTED,
                remote_id=response_id,
                accepted_us=context.now_us(),
            )
        )
        ask.is_begun = True
        self._begun(ask, response_id, reply.poll_after_seconds)
        return None

    def _unknown(self, ask: Ask, error: OutcomeUnknownError) -> Outcome | None:
        ask.is_begun = True
        return self._unresolved(ask.seq, ask.token, error.message)

    async def _again(self, ask: Ask, failure: Failure, retry_after: float | None) -> Outcome | None:
        self._moves.add(_back(ask))  # the vendor surely did not take it
        return await super()._again(ask, failure, retry_after)


def _back(ask: Ask) -> SubmissionMoved:
    return SubmissionMoved(token=ask.token, status=SubmissionStatus.INTENDED)
