"""A chunk on its way to the vendor: file, intent, upload, create; and the search for a lost one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from batchata.core.errors import (
    AccountStoppedError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import SubmissionIntended, SubmissionMoved
from batchata.core.retry import Backoff
from batchata.core.status import SubmissionStatus
from batchata.core.submission import Submission
from batchata.engine.context import RunContext
from batchata.engine.request_file import RequestFiles
from batchata.ports import CannotTell, Found, Lookup, NotThere

log = logging.getLogger("batchata.engine")

_BACKOFF = Backoff(first_seconds=1.0, most_seconds=60.0)


class TooLargeError(ProviderRejectedError):
    """The vendor wants smaller batches."""


class Sender:
    """Brings submissions to their vendors, each once."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._files = RequestFiles(context)
        self.creating: set[asyncio.Task[Any] | None] = set()  #: tasks whose create call has left

    def intend(self, seqs: Sequence[int], input_ref: str | None = None) -> Submission:
        """Write down what will be sent, with its money, before anything leaves."""
        context = self._context
        shape = context.shape(seqs[0])
        state = context.state
        submission = Submission(
            token=context.new_token(),
            provider=shape.provider,
            endpoint=shape.endpoint,
            model=shape.model,
            wire_version=shape.wire_version,
            seqs=array("I", seqs),
            status=SubmissionStatus.INTENDED,
            intended_us=context.now_us(),
            input_tokens=sum(state.input_bound[seq] for seq in seqs),
            size_bytes=sum(state.size_bytes[seq] for seq in seqs),
            input_ref=input_ref,
        )
        context.record(SubmissionIntended(submission=submission))
        return submission

    async def send(self, token: str) -> Submission | None:
        """Bring an intended submission to the vendor; None when it was dropped or left for later.

        Raises QueueFullError and TooLargeError, the submission dropped, for the planner to mend;
        AccountStoppedError stops the run.
        """
        context = self._context
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._try(token)
            except OutcomeUnknownError as error:
                log.warning("%s; looking for the batch instead of sending it again", error.message)
                self._move(token, SubmissionStatus.UNRESOLVED, note=error.message)
                return await self.resolve(token)
            except ProviderUnavailableError as error:
                wait = _BACKOFF.wait_seconds(
                    attempt, context.clock.random, error.retry_after_seconds
                )
                context.notes["network"] = f"waiting to send: {error.message}"
                log.warning("%s; trying again in %.0f s", error.message, wait)
                if not await context.pause(wait * context.config.poll_factor):
                    return None
            except AccountStoppedError as error:
                self.drop(token, error.message)
                context.stop.ask(error.message, error=error)
                return None
            except ProviderRejectedError as error:
                self.drop(token, error.message)
                if error.status == 413 and len(self._now(token).seqs) > 1:
                    raise TooLargeError(error.message, status=413) from error
                raise

    async def _try(self, token: str) -> Submission | None:
        context = self._context
        submission = self._now(token)
        api = context.api(submission.provider)
        path = self._files.write(submission)
        if path is None:
            return None
        if submission.input_ref is None:
            reference = await api.upload(submission, path)
            if reference is not None:
                self._move(token, SubmissionStatus.INTENDED, input_ref=reference)
        if context.stop.is_asked:
            await self.give_back(token, "the run stopped before it was sent")
            return None
        self._move(token, SubmissionStatus.CREATING)
        task = asyncio.current_task()
        self.creating.add(task)
        try:
            remote_id = await api.create(self._now(token), path)
            return self._accepted(token, remote_id)
        finally:
            self.creating.discard(task)

    def _accepted(self, token: str, remote_id: str) -> Submission:
        context = self._context
        self._move(
            token,
            SubmissionStatus.ACCEPTED,
            remote_id=remote_id,
            accepted_us=context.now_us(),
        )
        context.notes.pop("network", None)
        self._files.keep(self._now(token))
        return self._now(token)

    async def resolve(self, token: str) -> Submission | None:
        """Find out what became of a create call without an answer; None when it is not there.

        A submission that surely never left is sent now. One that the vendor cannot tell of is
        looked for again, or left, or given up, as the run's `on_unresolved` says.
        """
        context = self._context
        attempt = 0
        while True:
            submission = self._now(token)
            if submission.status is SubmissionStatus.INTENDED:
                return await self.send(token)
            attempt += 1
            found = await self._lookup(submission)
            if isinstance(found, Found):
                log.info("submission %s was found as %s", token, found.remote_id)
                return self._accepted(token, found.remote_id)
            if isinstance(found, NotThere) and self._is_settled(submission):
                self._move(token, SubmissionStatus.INTENDED, note="the vendor does not have it")
                continue
            why = found.why if isinstance(found, CannotTell) else "it may still show up"
            self._move(token, SubmissionStatus.UNRESOLVED, note=why)
            context.notes[token] = f"submission {token} is unresolved: {why}"
            if isinstance(found, CannotTell):
                if context.config.on_unresolved == "resubmit":
                    again = f"sent again by request: {why}"
                    self._move(token, SubmissionStatus.INTENDED, note=again)
                    continue
                if context.config.on_unresolved == "ask" or found.is_final:
                    return None
            wait = _BACKOFF.wait_seconds(attempt, context.clock.random)
            if not await context.pause(wait * context.config.poll_factor):
                return None

    async def _lookup(self, submission: Submission) -> Lookup:
        context = self._context
        known = context.state.known_remote_ids(submission.provider)
        sent = replace(submission, seqs=array("I", context.state.unsettled(submission.token)))
        try:
            found = await context.api(submission.provider).find(sent, known)
        except ProviderUnavailableError as error:
            return CannotTell(error.message)
        except AccountStoppedError as error:
            context.stop.ask(error.message, error=error)
            return CannotTell(error.message)
        if not isinstance(found, CannotTell):
            context.notes.pop(submission.token, None)
        return found

    def _is_settled(self, submission: Submission) -> bool:
        age = (self._context.now_us() - submission.intended_us) / 1e6
        return age >= self._context.config.settle_seconds

    def drop(self, token: str, why: str) -> None:
        """The vendor surely does not have it: its jobs and its money are free again."""
        self._move(token, SubmissionStatus.DROPPED, note=why)
        self._files.discard(self._now(token))

    async def give_back(self, token: str, why: str) -> None:
        """Drop a submission, and what was uploaded for it."""
        submission = self._now(token)
        self.drop(token, why)
        with contextlib.suppress(ProviderError):
            await self._context.api(submission.provider).forget(submission)

    def _now(self, token: str) -> Submission:
        return self._context.state.submissions[token]

    def _move(
        self,
        token: str,
        status: SubmissionStatus,
        *,
        remote_id: str | None = None,
        input_ref: str | None = None,
        accepted_us: int | None = None,
        note: str | None = None,
    ) -> None:
        self._context.record(
            SubmissionMoved(
                token=token,
                status=status,
                remote_id=remote_id,
                input_ref=input_ref,
                accepted_us=accepted_us,
                note=note,
            )
        )
