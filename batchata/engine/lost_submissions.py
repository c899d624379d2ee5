"""Create calls without an answer: looked up at the vendor, and never simply repeated."""

from __future__ import annotations

import logging
from array import array
from dataclasses import replace
from typing import Final, Literal

from batchata.core.errors import (
    AccountStoppedError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import SubmissionMoved
from batchata.core.retry import Backoff
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Submission
from batchata.engine.context import RunContext
from batchata.ports import CannotTell, Found, Lookup, NotThere

log = logging.getLogger("batchata.engine")

_BACKOFF: Final = Backoff(first_seconds=1.0, most_seconds=60.0)
#: of a vendor that answers, and does not have what is looked for
_NOT_YET: Final = (
    "the vendor does not have it so far; if it does not show up, it is sent again in a few minutes"
)
#: a listing must lack a batch so often in a row before it is believed
_LOOKS: Final = 2
#: no vendor takes a request in later than this after it was sent
_LONGEST_CALL_SECONDS: Final = 3600


class LostSubmissions:
    """Finds out which of them the vendor has."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def lose(self, token: str, why: str) -> None:
        """Note that a create call has no answer; until now the vendor may have taken it."""
        now_us, sent_us = self._context.now_us(), self._now(token).sent_us or 0
        if now_us - sent_us > _LONGEST_CALL_SECONDS * 1e6:
            now_us = sent_us
        self._move(token, SubmissionStatus.UNRESOLVED, why, sent_us=now_us)

    async def resolve(self, token: str) -> Found | Literal["to be sent"] | None:
        """Where it is, or that it may be sent; None when it is left unresolved.

        One that the vendor cannot tell of is looked for again, or left, or given up, as the run's
        `on_unresolved` says.
        """
        if self._now(token).status is SubmissionStatus.CREATING:
            self.lose(token, "an earlier process ended before the vendor's answer came")
        attempt = absent = 0
        while True:
            submission = self._now(token)
            if submission.status is SubmissionStatus.INTENDED:
                return "to be sent"
            attempt += 1
            asked: float | None = None
            try:
                found = await self._lookup(submission)
            except ProviderUnavailableError as error:
                why, asked = error.message, error.retry_after_seconds
            else:
                if isinstance(found, Found):
                    self._context.notes.pop(token, None)
                    log.info("submission %s was found as %s", token, found.remote_id)
                    return found
                is_absent = isinstance(found, NotThere) and self._is_settled(submission)
                absent = absent + 1 if is_absent else 0
                if self._is_free(submission, found, absent):
                    continue
                why = found.why if isinstance(found, CannotTell) else _NOT_YET
                if self._is_left_to_the_user(found):
                    self._leave_unresolved(token, why)
                    return None
            if not await self._wait(token, why, attempt, asked):
                return None

    def _is_free(self, submission: Submission, found: NotThere | CannotTell, absent: int) -> bool:
        """Make a submission ready to be sent again, where that is safe or the user's wish."""
        is_settled = self._is_settled(submission)
        if isinstance(found, NotThere):
            why, is_free = "the vendor does not have it", is_settled and absent >= _LOOKS
        else:
            wish = self._context.config.on_unresolved == "resubmit"
            why = f"sent again by request: {found.why}"
            is_free = wish and (is_settled or found.is_final)
        if is_free:
            self._context.notes.pop(submission.token, None)
            self._move(submission.token, SubmissionStatus.INTENDED, why)
        return is_free

    def _is_left_to_the_user(self, found: NotThere | CannotTell) -> bool:
        if isinstance(found, NotThere):
            return False
        return found.is_final or self._context.config.on_unresolved == "ask"

    async def _wait(
        self, token: str, why: str, attempt: int, retry_after_seconds: float | None
    ) -> bool:
        context = self._context
        self._leave_unresolved(token, why)
        wait = _BACKOFF.wait_seconds(attempt, context.clock.random, retry_after_seconds)
        return await context.pause(wait * context.config.poll_factor)

    def _leave_unresolved(self, token: str, why: str) -> None:
        said = f"submission {token} is unresolved: {why}"
        if self._context.notes.get(token) != said:
            log.warning("%s", said)
        self._context.notes[token] = said
        self._move(token, SubmissionStatus.UNRESOLVED, why)

    async def _lookup(self, submission: Submission) -> Lookup:
        context = self._context
        known = context.state.known_remote_ids(submission.provider)
        sent = replace(submission, seqs=array("I", context.state.unsettled(submission.token)))
        try:
            found = await context.api(submission.provider).find(sent, known)
        except AccountStoppedError as error:
            context.stop.ask(error.message, error=error)
            return CannotTell(error.message)
        except ProviderRejectedError as error:
            return CannotTell(f"the vendor does not let us look: {error.message}")
        return found

    def _is_settled(self, submission: Submission) -> bool:
        sent_us = submission.sent_us or submission.intended_us
        age = (self._context.now_us() - sent_us) / 1e6
        return age >= self._context.config.settle_seconds

    def _now(self, token: str) -> Submission:
        return self._context.state.submissions[token]

    def _move(
        self, token: str, status: SubmissionStatus, note: str, *, sent_us: int | None = None
    ) -> None:
        moved = SubmissionMoved(token=token, status=status, sent_us=sent_us, note=note)
        self._context.record(moved)
