"""One live call, from its body to its outcome or to the wait before the next attempt."""

from __future__ import annotations

import dataclasses
import logging
from typing import Final

from msgspec.structs import replace

from batchata.core.errors import (
    AccountStoppedError,
    BatchataError,
    MissingKeyError,
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ValidationError,
)
from batchata.core.result import Answer, Failure, Reason
from batchata.core.status import JobStatus
from batchata.core.submission import Outcome, Shape
from batchata.engine.context import RunContext
from batchata.engine.leases import Ask
from batchata.engine.model_queue import ModelQueue
from batchata.engine.quoting import Quoting
from batchata.engine.raw_calls import RawCalls
from batchata.engine.settling import Settler
from batchata.engine.uploads import Uploads
from batchata.ports import LiveReply

log = logging.getLogger("batchata.engine")

#: how often one job may be told to slow down before it fails
_SLOWED_MOST: Final = 50
#: the server's own, which pass
_FAULTS: Final = (Reason.SERVER_ERROR, Reason.OVERLOADED)
#: what a server may say with a good status too
_REFUSALS: Final = (*_FAULTS, Reason.RATE_LIMITED, Reason.ACCOUNT)
#: when so many jobs in a row get a 5xx, and none anything else, the server has an outage
_FAULTS_IN_A_ROW: Final = 8
#: which is waited out for so long; then each fault is counted as a try of its job
_OUTAGE_SECONDS: Final = 900.0
#: where fewer meet nothing but 5xx it may be their own doing: no last try counts for so long
_SHORT_OUTAGE_SECONDS: Final = 120.0
#: a pause that is worth a word
_LONG_PAUSE_SECONDS: Final = 5.0
#: between two words about a server that has faults now and then
_QUIET_SECONDS: Final = 10.0
#: when so many calls are told that the vendor lacks the model, and none was answered, it is so
_UNKNOWN_MOST: Final = 8
_MENDS: Final = {
    401: "check the key",
    403: "give the key the permission, or use another",
}
_PAY: Final = "add credit or raise the spend limit in the vendor's console"


class Calls:
    """Makes calls; tells each queue's pace how they went."""

    def __init__(self, context: RunContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads
        self._settler = Settler(context, "standard")
        self._quoting = Quoting(context)
        self.raw = RawCalls(context)
        self.in_flight = 0  #: calls without an answer

    async def make(self, queue: ModelQueue, ask: Ask) -> Outcome | None:
        """Call once; None when the call may be repeated at once, or has only begun a response."""
        clock = self._context.clock
        body = await self._body(queue, ask)
        if not isinstance(body, bytes):
            return body
        try:
            await self._quoting.read_ahead(ask.seq)
            reply = await self._send(queue, ask, body)
        except (MissingKeyError, ValidationError) as error:  # there is no client: nothing left
            return self._stopped(queue, ask, error)
        except OutcomeUnknownError as error:  # it may have been answered and billed
            queue.pace.troubled(clock.monotonic())
            return self._unknown(ask, error)
        except ProviderUnavailableError as error:
            queue.pace.troubled(clock.monotonic())
            self._hold(queue, ask, error.message)
            return None
        return await self._replied(queue, ask, reply)

    async def _send(self, queue: ModelQueue, ask: Ask, body: bytes) -> LiveReply:
        self.in_flight += 1
        sent_us = self._context.now_us()
        try:
            reply = await queue.api.send(ask.shape, body)
        except ProviderUnavailableError as error:
            self.raw.keep(ask, sent_us, None, error.message)
            raise
        finally:
            self.in_flight -= 1
        self.raw.keep(ask, sent_us, reply, None)
        return reply

    async def _body(self, queue: ModelQueue, ask: Ask) -> bytes | Outcome | None:
        """The body, after its files are at the vendor; None when nothing can be sent now."""
        try:
            body = await self._uploads.body(ask, queue.api.request_bytes)
        except (AccountStoppedError, MissingKeyError) as error:
            return self._stopped(queue, ask, error)
        except ProviderUnavailableError as error:
            queue.pace.troubled(self._context.clock.monotonic())
            ask.tries += 1
            failure = Failure(Reason.SERVER_ERROR, f"its files: {error.message}")
            return await self._again(ask, failure, error.retry_after_seconds)
        except (ValidationError, ProviderRejectedError) as error:
            queue.pace.failed()
            return self._failed(ask, Failure(Reason.BAD_INPUT, str(error)))
        if body is not None and not self._context.stop.is_asked:
            return body
        queue.pace.failed()
        return None

    def _stopped(self, queue: ModelQueue, ask: Ask, error: BatchataError) -> Outcome:
        """Nothing can be asked for now: the run ends with this error, and no job is to blame."""
        queue.pace.failed()
        self._context.stop.ask(error.message, error=error)
        return self._failed(ask, Failure(Reason.ACCOUNT, error.message))

    def _hold(self, queue: ModelQueue, ask: Ask, why: str) -> None:
        """The server cannot be reached: all calls wait, longer each time."""
        context = self._context
        now = context.clock.monotonic()
        self._note(queue, why)
        if ask.sent_at < queue.missed_at:
            return  # it left before that was known
        queue.missed, queue.missed_at = queue.missed + 1, now
        wait = context.config.backoff.wait_seconds(queue.missed, context.clock.random)
        queue.pace.away(wait, now)

    async def _replied(self, queue: ModelQueue, ask: Ask, reply: LiveReply) -> Outcome | None:
        now = self._context.clock.monotonic()
        found = reply.failure or queue.codec.decode(ask.shape, reply.body or b"")
        if reply.failure is None and isinstance(found, Failure) and self._is_refusal(found):
            is_congested = found.reason is Reason.RATE_LIMITED
            reply = dataclasses.replace(reply, failure=found, is_congested=is_congested)
        failure = reply.failure
        is_fault = failure is not None and not reply.is_congested and failure.reason in _FAULTS
        if not is_fault:
            queue.is_well()
            if not reply.is_congested:
                self._context.notes.pop(queue.note, None)
        if failure is None:
            return await self._answered(queue, ask, reply, found, now)
        if reply.is_congested:
            wait = queue.pace.congested(reply.quota, ask.sent_at, now)
            if wait > _LONG_PAUSE_SECONDS:
                self._note(queue, failure.message, f"; going on in {wait:.0f} s")
            ask.slowed += 1
            return await self._again(ask, failure, wait)
        if is_fault:
            return await self._faulty(queue, ask, reply, failure, now)
        return await self._refused(queue, ask, failure, now)

    async def _refused(
        self, queue: ModelQueue, ask: Ask, failure: Failure, now: float
    ) -> Outcome | None:
        queue.pace.failed()
        if failure.reason is Reason.ACCOUNT:
            self.stop(queue.provider, failure)
        elif failure.reason is Reason.MODEL_NOT_FOUND:
            self._unknown_model(queue, failure)
        elif await self._lost_its_files(ask, failure, now):
            ask.tries += 1
            return await self._again(ask, failure, None)
        return self._failed(ask, failure)

    def _is_refusal(self, failure: Failure) -> bool:
        """True for the server's refusal of a call, said in a body with a good status."""
        return failure.reason in _REFUSALS

    def _unknown_model(self, queue: ModelQueue, failure: Failure) -> None:
        """One of several servers may lack it; where nobody has it, no more jobs ask for it."""
        queue.unknown += 1
        if queue.unknown < _UNKNOWN_MOST or queue.is_known or queue.refusal is not None:
            return
        queue.refusal = failure
        said = "%s: %s; its other jobs fail without being asked, and a later run asks them again"
        log.error(said, queue.note, failure.message)

    async def _lost_its_files(self, ask: Ask, failure: Failure, now: float) -> bool:
        if not ask.attachments or failure.reason is not Reason.INVALID_REQUEST:
            return False
        sent_us = self._context.now_us() - int((now - ask.sent_at) * 1e6)
        return await self._uploads.is_gone(ask.seq, sent_us)

    async def _faulty(
        self, queue: ModelQueue, ask: Ask, reply: LiveReply, failure: Failure, now: float
    ) -> Outcome | None:
        """A server that only ever fails is down; for a while no job is blamed for it."""
        queue.pace.troubled(now)
        queue.fault(ask, now)
        config, down = self._context.config, queue.down_seconds(now)
        if queue.faults > _FAULTS_IN_A_ROW and down < _OUTAGE_SECONDS * config.poll_factor:
            self._hold(queue, ask, failure.message)
            return None
        is_last_try = 0 < ask.tries == config.max_attempts - 1 and queue.is_down_for(ask)
        if is_last_try and down < _SHORT_OUTAGE_SECONDS * config.poll_factor:
            self._note(queue, failure.message)
            ask.waited += 1
        else:
            ask.tries += 1
        return await self._again(ask, failure, reply.quota.retry_after_seconds)

    async def _answered(
        self, queue: ModelQueue, ask: Ask, reply: LiveReply, answer: Answer | Failure, now: float
    ) -> Outcome | None:
        queue.pace.answered(reply.quota, now)
        queue.is_known = True
        if isinstance(answer, Failure):
            return self._failed(ask, answer)
        queue.learn(ask.tokens, answer.usage, now)
        return await self.settled(ask.seq, ask.token, ask.shape, answer, reply.request_id)

    async def settled(
        self, seq: int, token: str, shape: Shape, answer: Answer, request_id: str | None
    ) -> Outcome:
        """The outcome of an answer."""
        now_us = self._context.now_us()
        outcome = self._settler.answered(
            seq, shape, answer, token=token, request_id=request_id, now_us=now_us
        )
        return await self._quoting.cited(outcome)

    def _unknown(self, ask: Ask, error: OutcomeUnknownError) -> Outcome | None:
        """The call may have been answered and billed."""
        return self._failed(ask, Failure(Reason.OUTCOME_UNKNOWN, error.message))

    def stop(self, provider: str, failure: Failure) -> None:
        """The vendor refuses this account altogether: the run ends, and can be resumed."""
        hint = _MENDS.get(failure.status or 0, _PAY)
        error = AccountStoppedError(
            f"{provider} refuses all calls: {failure.message}",
            hint=f"{hint}; then run again: what was answered is not asked again",
        )
        self._context.stop.ask(failure.message, error=error)

    async def _again(self, ask: Ask, failure: Failure, retry_after: float | None) -> Outcome | None:
        """Repeat the call later: the vendor surely did not answer it, and bills nothing."""
        context = self._context
        if ask.slowed >= _SLOWED_MOST or ask.tries >= context.config.max_attempts:
            outcome = self._failed(ask, failure)
            if outcome.status is JobStatus.PENDING:
                return replace(outcome, status=JobStatus.FAILED, attempt=max(ask.tries, 1))
            return outcome
        wait = context.config.backoff.wait_seconds(
            max(ask.tries + ask.waited, min(ask.slowed, 4), 1), context.clock.random, retry_after
        )
        await context.pause(wait * context.config.poll_factor)
        return None

    def _note(self, queue: ModelQueue, why: str, until: str = "") -> None:
        """Log what the call waits for: once for each reason, and not over and over."""
        now = self._context.clock.monotonic()
        if queue.note not in self._context.notes and now >= queue.quiet_until:
            log.warning("%s: %s%s", queue.note, why, until)
            queue.quiet_until = now + _QUIET_SECONDS
        self._context.notes[queue.note] = f"waiting for {queue.provider}: {why}"

    def _failed(self, ask: Ask, failure: Failure) -> Outcome:
        return self.failed(ask.seq, ask.token, failure)

    def failed(self, seq: int, token: str, failure: Failure) -> Outcome:
        """The outcome of an attempt without an answer."""
        return self._settler.failed(seq, failure, token=token, now_us=self._context.now_us())
