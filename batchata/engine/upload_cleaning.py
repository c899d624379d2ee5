"""Removes our files at vendors once nothing needs them any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from batchata.core.errors import ProviderError, ProviderUnavailableError
from batchata.core.events import UploadMoved
from batchata.core.retry import Backoff
from batchata.core.upload import Upload, UploadStatus
from batchata.engine.context import RunContext, first_error
from batchata.engine.uploads import AT_ONCE, Uploads

log = logging.getLogger("batchata.engine")

_ATTEMPTS: Final = 3
_BACKOFF: Final = Backoff(first_seconds=1.0, most_seconds=10.0)


class UploadCleaner:
    """Deletes uploads; only those that the state file says are ours."""

    def __init__(self, context: RunContext, uploads: Uploads) -> None:
        self._context = context
        self._uploads = uploads

    async def clean(self, seconds: float | None = None) -> None:
        """Remove every file that no open job asks about; what cannot be removed is logged."""
        try:
            async with asyncio.timeout(seconds):
                await self._clean()
        except TimeoutError:
            log.info("some uploaded files stay at their vendors until the run goes on")
        except BaseExceptionGroup as errors:  # the state file's, which ends the run
            raise first_error(errors) from None

    async def _clean(self) -> None:
        left = iter(list(self._idle()))
        stayed: list[tuple[Upload, str]] = []

        async def work() -> None:
            for upload in left:
                why = await self._remove(upload)
                if why is not None:
                    stayed.append((upload, why))

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())
        if stayed:
            self._tell(stayed)

    def _idle(self) -> Iterator[Upload]:
        context = self._context
        uploads = [each for each in context.state.uploads.values() if each.status.is_open]
        if not uploads:
            return
        needed = self._needed()
        for each in uploads:
            if each.sha256 in needed:
                continue
            if each.lasts(0.0, context.now_us()):
                yield each
            else:
                context.record(UploadMoved(token=each.token, status=UploadStatus.GONE))

    def _needed(self) -> set[str]:
        """Digests of files that jobs in flight or still to be sent ask about."""
        context = self._context
        seqs = set(context.state.pending())
        for submission in context.state.open_submissions():
            seqs.update(context.state.unsettled(submission.token))
        attached = context.store.attachments(seqs).values()
        return {each.sha256 for attachments in attached for each in attachments}

    async def _remove(self, upload: Upload) -> str | None:
        """Delete one file; returns why it could not be, if so."""
        context = self._context
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._delete(upload)
            except ProviderUnavailableError as error:
                wait = _BACKOFF.wait_seconds(
                    attempt, context.clock.random, error.retry_after_seconds
                )
                goes_on = attempt < _ATTEMPTS and await context.pause(
                    wait * context.config.poll_factor
                )
                if not goes_on:
                    return error.message
            except ProviderError as error:
                return error.message
            else:
                context.record(UploadMoved(token=upload.token, status=UploadStatus.GONE))
                return None

    async def _delete(self, upload: Upload) -> None:
        files = self._uploads.api(upload.provider)
        ids = {upload.file_id} if upload.file_id else set()
        if not ids or upload.token in self._uploads.doubtful:
            ids |= {remote.id for remote in await files.find(upload)}
        for file_id in ids:
            await files.delete(file_id)

    def _tell(self, stayed: list[tuple[Upload, str]]) -> None:
        upload, why = stayed[0]
        said = (
            f"{len(stayed)} uploaded files stay at {upload.provider} for now: {why}; "
            "the next run of this state file removes them, and they expire by themselves"
        )
        log.warning("%s", said)
        self._context.notes["uploads"] = said
