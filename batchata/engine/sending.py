"""A chunk on its way to the vendor: file, intent, upload, create."""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchata.core.errors import (
    AccountStoppedError,
    MissingKeyError,
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.events import SubmissionIntended, SubmissionMoved
from batchata.core.retry import Backoff
from batchata.core.status import SubmissionStatus
from batchata.core.submission import CANCEL_ASKED, Submission
from batchata.core.upload import BATCH_SECONDS
from batchata.engine.context import RunContext
from batchata.engine.lost_submissions import LostSubmissions
from batchata.engine.request_file import RequestFiles
from batchata.engine.uploads import References, Uploads
from batchata.ports import Found

log = logging.getLogger("batchata.engine")

_BACKOFF = Backoff(first_seconds=1.0, most_seconds=60.0)


class TooLargeError(ProviderRejectedError):
    """The vendor wants smaller batches."""


class Sender:
    """Brings submissions to their vendors, each once."""

    def __init__(self, context: RunContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads
        self._files = RequestFiles(context, uploads)
        self._lost = LostSubmissions(context)
        self._stamps: dict[str, frozenset[str]] = {}  #: of request files at vendors, by their ids
        self._new: set[str] = set()  #: tokens for which nothing can have been uploaded yet
        self.creating: set[asyncio.Task[Any] | None] = set()  #: tasks whose create call has left

    def submission(self, seqs: Sequence[int]) -> Submission:
        """These jobs as one batch; nothing of it is on disk yet."""
        context = self._context
        shape = context.shape(seqs[0])
        state = context.state
        return Submission(
            token=context.new_token(),
            provider=shape.provider,
            endpoint=shape.endpoint,
            model=shape.model,
            wire_version=shape.wire_version,
            seqs=array("I", seqs),
            status=SubmissionStatus.INTENDED,
            intended_us=context.now_us(),
            input_tokens=sum(state.input_bound[seq] for seq in seqs),
            size_bytes=sum(map(self._uploads.plan.sent_bytes, seqs)),
        )

    def intend(self, submissions: Sequence[Submission]) -> None:
        """Write down what will be sent, with its money, before anything leaves."""
        self._context.record(*(SubmissionIntended(submission=each) for each in submissions))
        self._new.update(each.token for each in submissions)

    async def send(self, token: str) -> Submission | None:
        """Bring an intended submission to the vendor; None when it was dropped or left for later.

        Raises QueueFullError and TooLargeError when the planner has to repack the jobs of the
        dropped submission; AccountStoppedError stops the run.
        """
        context = self._context
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._try(token)
            except OutcomeUnknownError as error:
                log.warning("%s; looking for the batch instead of sending it again", error.message)
                self._lost.lose(token, error.message)
                return await self.resolve(token)
            except ProviderUnavailableError as error:
                wait = _BACKOFF.wait_seconds(
                    attempt, context.clock.random, error.retry_after_seconds
                )
                context.notes["network"] = f"waiting to send: {error.message}"
                if self._now(token).status is SubmissionStatus.CREATING:  # surely not taken
                    self._move(token, SubmissionStatus.INTENDED)
                log.warning("%s; trying again in %.0f s", error.message, wait)
                if not await context.pause(wait * context.config.poll_factor):
                    return None
            except (AccountStoppedError, MissingKeyError) as error:
                await self.give_back(token, error.message)
                context.stop.ask(error.message, error=error)
                return None
            except ProviderRejectedError as error:
                await self.give_back(token, error.message)
                if error.status == 413 and len(self._now(token).seqs) > 1:
                    raise TooLargeError(error.message, status=413) from error
                raise

    async def _try(self, token: str) -> Submission | None:
        context = self._context
        submission = self._now(token)
        if not context.state.wants(context.state.unsettled(token)):
            await self.give_back(token, "the script does not ask all of its jobs any more")
            return None
        api = context.api(submission.provider)
        references = await self._references(submission)
        if references is None:
            return None
        path = self._files.write(submission, references)
        if path is None:
            return None
        reference = None
        if submission.input_ref is None:
            reference = await self._uploaded(submission, path)
            self._stamps[reference or ""] = references.stamp
        if not self._may_send():
            if reference is not None:
                self._move(token, SubmissionStatus.INTENDED, input_ref=reference)
            await self.give_back(token, "the run stopped before it was sent")
            return None
        await context.join(
            SubmissionMoved(
                token=token,
                status=SubmissionStatus.CREATING,
                input_ref=reference,
                sent_us=context.now_us(),
            )
        )
        if not self._may_send():
            await self.give_back(token, "the run stopped before it was sent")
            return None
        task = asyncio.current_task()
        self.creating.add(task)
        try:
            remote_id = await api.create(self._now(token), path)
            await self._accept(token, remote_id)
        finally:
            self.creating.discard(task)
        return await self._accepted(token)

    def _may_send(self) -> bool:
        return not (self._context.stop.is_asked or self._context.is_late)

    async def _references(self, submission: Submission) -> References | None:
        """Where the files of the submission are; None when it was given back instead.

        What an earlier process uploaded may name files that are not there any more.
        """
        token = submission.token
        references = await self._uploads.bring(self._context.state.unsettled(token), BATCH_SECONDS)
        if references is None:
            await self.give_back(token, "its files are not at the vendor")
            return None
        if references.found and submission.input_ref:
            if self._stamps.get(submission.input_ref) == references.stamp:
                return references
            await self.give_back(token, "its request file names other uploads")
            return None
        return references

    async def _uploaded(self, submission: Submission, path: Path) -> str | None:
        """Upload the file, unless an earlier call whose answer was lost did so.

        Its id is written to disk together with the news that the create call leaves; until then the
        file can be found by its name.
        """
        token, api = submission.token, self._context.api(submission.provider)
        reference = None
        if token not in self._new:
            reference = await api.uploaded(submission, path)
        self._new.discard(token)
        return reference or await api.upload(submission, path)

    async def cancel(self, submission: Submission) -> None:
        """Ask the vendor to cancel a batch, again and again until it answers or the run leaves.

        The wish is written down first, because the answer may be lost.
        """
        context, token, remote_id = self._context, submission.token, submission.remote_id
        if remote_id is None or token not in context.state.left:
            return
        self._move(token, SubmissionStatus.ACCEPTED, note=CANCEL_ASKED)
        attempt = 0
        while token in context.state.left:
            attempt += 1
            try:
                await context.canceller(submission).cancel(remote_id)
            except ProviderError as error:
                log.warning("batch %s was not cancelled: %s", remote_id, error.message)
                if not isinstance(error, ProviderUnavailableError):
                    return
                asked = error.retry_after_seconds
            else:
                return
            wait = _BACKOFF.wait_seconds(attempt, context.clock.random, asked)
            if not await context.pause(wait * context.config.poll_factor, until_leaving=True):
                return

    async def _accept(self, token: str, remote_id: str) -> None:
        await self._context.join(
            SubmissionMoved(
                token=token,
                status=SubmissionStatus.ACCEPTED,
                remote_id=remote_id,
                accepted_us=self._context.now_us(),
            )
        )

    async def _accepted(self, token: str) -> Submission:
        context = self._context
        context.notes.pop("network", None)
        self._files.keep(self._now(token))
        if context.stop.cancels or context.is_late:  # all were cancelled while this was on its way
            await self.cancel(self._now(token))
        return self._now(token)

    async def resolve(self, token: str) -> Submission | None:
        """Find out what became of a create call without an answer; None when no batch is there.

        A submission that surely never left, or may be sent again, is sent now.
        """
        found = await self._lost.resolve(token)
        if isinstance(found, Found):
            await self._accept(token, found.remote_id)
            return await self._accepted(token)
        return await self.send(token) if found else None

    async def give_back(self, token: str, why: str) -> None:
        """Drop a submission that the vendor surely does not have; its jobs and money are free."""
        self._move(token, SubmissionStatus.DROPPED, note=why)
        self._files.discard(self._now(token))
        await self.forget(self._now(token))

    async def give_back_new(self, token: str) -> None:
        """Drop a submission of this process of which nothing has left; leave others as they are."""
        if token in self._new:
            await self.give_back(token, "the run stopped before it was sent")

    async def forget(self, submission: Submission) -> None:
        """Remove the upload of a dropped submission, unless another one goes with it."""
        reference = submission.input_ref
        if not reference or self._is_used(reference):
            return
        try:
            await self._context.api(submission.provider).forget(submission)
        except ProviderRejectedError as error:
            log.info("the upload %s is not at the vendor any more: %s", reference, error.message)
        except ProviderError as error:
            log.info("the upload %s is left at the vendor for now: %s", reference, error.message)
            return
        self._move(submission.token, SubmissionStatus.DROPPED, input_ref="")

    def _is_used(self, reference: str) -> bool:
        return any(
            each.input_ref == reference and each.status is not SubmissionStatus.DROPPED
            for each in self._context.state.submissions.values()
        )

    async def tidy(self) -> None:
        """Clean up what an earlier process had no time for: files here and at the vendors."""
        self._files.tidy()
        await self.forget_left()

    async def forget_left(self, seconds: float | None = None) -> None:
        """Remove uploads that no batch came of and that could not be removed at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for submission in list(self._context.state.submissions.values()):
                    if submission.status is SubmissionStatus.DROPPED and submission.input_ref:
                        await self.forget(submission)

    def _now(self, token: str) -> Submission:
        return self._context.state.submissions[token]

    def _move(
        self,
        token: str,
        status: SubmissionStatus,
        *,
        input_ref: str | None = None,
        note: str | None = None,
    ) -> None:
        self._context.record(
            SubmissionMoved(token=token, status=status, input_ref=input_ref, note=note)
        )
