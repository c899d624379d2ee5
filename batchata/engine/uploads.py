"""Files on their way to a vendor, once each; requests then name them by id."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from batchata.core.document import Attachment
from batchata.core.errors import (
    AccountStoppedError,
    BatchataError,
    MissingKeyError,
    ProviderError,
    ProviderNotFoundError,
    ProviderRejectedError,
    ProviderUnavailableError,
    ValidationError,
)
from batchata.core.events import UploadIntended, UploadMoved
from batchata.core.upload import LIVE_SECONDS, Upload, UploadKey, UploadStatus, inline_bytes
from batchata.engine.context import RunContext
from batchata.engine.leases import Ask
from batchata.engine.upload_plan import UploadPlan
from batchata.ports import FilesAPI, RemoteFile

log = logging.getLogger("batchata.engine")

#: uploads of one chunk at the same time
AT_ONCE: Final = 4
#: a vendor that answers so has no place for files at all
_NO_PLACE: Final = (404, 405, 501)
T = TypeVar("T")


@dataclass(slots=True)
class References:
    """Where files are at their vendor, or why they are not there."""

    found: dict[UploadKey, str | BatchataError] = field(default_factory=dict)

    @property
    def stamp(self) -> frozenset[str]:
        """The same only for requests that name the same files."""
        return frozenset(str(each) for each in self.found.values())


class Uploads:
    """Brings files to vendors, each once; finds again what an earlier process brought."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.plan = UploadPlan(context)
        self.doubtful: set[str] = set()  #: tokens of which the vendor may have more than one file
        self._known: set[str] = set()  #: tokens that this process wrote or looked at
        self._gone_us: dict[UploadKey, int] = {}  #: when a file was last found to be deleted
        self._seen_us: dict[UploadKey, int] = {}  #: and when that was last looked at
        self._locks: defaultdict[UploadKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def bring(self, seqs: Sequence[int], seconds: float) -> References | None:
        """Have the files of these jobs at their vendor for so long; None: not now, or not so.

        A file that is gone or was refused is an error among the references. Raises
        ProviderUnavailableError when the vendor cannot be asked, AccountStoppedError and
        MissingKeyError.
        """
        references = References()
        wanted = self._wanted(seqs)
        if not wanted:
            return references
        left = iter(wanted.items())
        troubles: list[ProviderError] = []
        refused: list[UploadKey] = []

        async def work() -> None:
            for key, sources in left:
                if troubles or refused or self._context.stop.is_asked:
                    return
                try:
                    references.found[key] = await self._bring(key, sources, seconds)
                except _GoesInlineError:
                    refused.append(key)
                except (ProviderUnavailableError, AccountStoppedError, MissingKeyError) as error:
                    troubles.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(wanted))):
                group.create_task(work())
        if troubles:
            raise troubles[0]
        return references if len(references.found) == len(wanted) else None

    def refer(
        self,
        seq: int,
        body: bytes,
        attachments: tuple[Attachment, ...],
        references: References,
    ) -> tuple[bytes, tuple[Attachment, ...]]:
        """A job's body with its uploaded files named, and the files that it still only marks.

        Raises the error of a file that is not at the vendor.
        """
        ids: dict[str, str] = {}
        for attachment, key in self.plan.chosen(seq, attachments):
            found = references.found[key]
            if isinstance(found, BatchataError):
                raise found
            ids[attachment.marker] = found
        if not ids:
            return body, attachments
        files = self.api(self._context.shape(seq).provider)
        return files.refer(body, ids), tuple(each for each in attachments if each.marker not in ids)

    async def body(self, ask: Ask, most_bytes: int | None) -> bytes | None:
        """A live call's whole body; None: not now, or not so.

        Raises ValidationError when it would be larger than `most_bytes`, and what `bring` and
        `refer` raise.
        """
        if not ask.attachments:
            return ask.body
        references = await self.bring([ask.seq], LIVE_SECONDS)
        if references is None:
            return None
        body, left = self.refer(ask.seq, ask.body, ask.attachments, references)
        _check_size(len(body) + sum(map(inline_bytes, left)), most_bytes)
        return b"".join(self._context.splice(body, left))

    async def is_gone(self, seq: int, sent_us: int) -> bool:
        """True when a file was deleted at its vendor that a request of then named.

        It is uploaded again when a job asks about it next.
        """
        attachments = self._context.store.attachments([seq]).get(seq, ())
        gone = [await self._is_gone(key, sent_us) for _, key in self.plan.chosen(seq, attachments)]
        return any(gone)

    async def _is_gone(self, key: UploadKey, sent_us: int) -> bool:
        async with self._locks[key]:
            if self._gone_us.get(key, 0) >= sent_us:  # another job of then has noticed
                return True
            if self._seen_us.get(key, 0) >= sent_us:
                return False
            self._seen_us[key] = self._context.now_us()
            there = [await self._is_there(each) for each in self._open(key)]
            if any(there):
                return False
            log.warning("%r is no longer at %s: uploading it again", key.name, key.provider)
            self._gone_us[key] = self._context.now_us()
            return True

    async def _is_there(self, upload: Upload) -> bool:
        """False for a file that its vendor surely has no longer, which is written down."""
        if upload.file_id is None:
            return True
        try:
            remote = await self.api(upload.provider).look(upload.file_id)
        except (ProviderRejectedError, ProviderUnavailableError):
            return True  # the vendor does not say
        if remote is None:
            self._context.record(UploadMoved(token=upload.token, status=UploadStatus.GONE))
        return remote is not None

    def api(self, provider: str) -> FilesAPI:
        """The provider's files; ProviderNotFoundError when this run has none."""
        found = self._context.providers.get(provider)
        if found is None or found.files is None:
            raise ProviderNotFoundError(
                f"provider {provider!r} has no files API in this run",
                hint=f"known here: {', '.join(sorted(self._context.providers)) or 'none'}",
            )
        return found.files

    def _wanted(self, seqs: Sequence[int]) -> dict[UploadKey, list[Attachment]]:
        """What has to be uploaded, and the files here that hold it."""
        wanted: dict[UploadKey, list[Attachment]] = {}
        for seq, attachments in self._context.store.attachments(seqs).items():
            for attachment, key in self.plan.chosen(seq, attachments):
                sources = wanted.setdefault(key, [])
                if attachment not in sources:
                    sources.append(attachment)
        return wanted

    async def _bring(
        self, key: UploadKey, sources: Sequence[Attachment], seconds: float
    ) -> str | BatchataError:
        async with self._locks[key]:
            upload = await self._there(key, seconds)
            if upload is not None and upload.file_id is not None:
                return upload.file_id
            if upload is None:
                upload = self._intend(key, sources[0])
            for source in sources:
                found = await self._upload(upload, source)
                if isinstance(found, str):
                    return found
            self._context.record(UploadMoved(token=upload.token, status=UploadStatus.GONE))
            return found

    async def _there(self, key: UploadKey, seconds: float) -> Upload | None:
        """The upload of this key that lasts long enough, or the one that may have arrived."""
        now_us = self._context.now_us()
        for upload in self._open(key):
            if upload.status is UploadStatus.INTENDED:
                await self._search(upload)
            elif upload.token not in self._known:
                await self._look(upload)
            self._known.add(upload.token)
            upload = self._context.state.uploads[upload.token]
            if upload.status.is_open and upload.lasts(seconds, now_us):
                return upload
        return None

    def _open(self, key: UploadKey) -> list[Upload]:
        uploads = self._context.state.uploads.values()
        return [each for each in uploads if each.key == key and each.status.is_open]

    async def _search(self, upload: Upload) -> None:
        """An upload whose answer was lost may have arrived."""
        found = await _answered(self.api(upload.provider).find(upload))
        for remote in (found or [])[:1]:
            log.info("the file %r was found as %s", upload.name, remote.id)
            self._arrived(upload, remote)

    async def _look(self, upload: Upload) -> None:
        """A file of an earlier process may have expired, or be in another account."""
        remote = await _answered(self.api(upload.provider).look(upload.file_id or ""))
        if remote is None:
            self._context.record(UploadMoved(token=upload.token, status=UploadStatus.GONE))
        else:
            self._arrived(upload, remote)

    def _intend(self, key: UploadKey, attachment: Attachment) -> Upload:
        context = self._context
        upload = Upload(
            token=context.new_token(),
            provider=key.provider,
            purpose=key.purpose,
            name=key.name,
            sha256=key.sha256,
            size_bytes=attachment.size_bytes,
            intended_us=context.now_us(),
        )
        context.record(UploadIntended(upload=upload))
        self._known.add(upload.token)
        return upload

    async def _upload(self, upload: Upload, source: Attachment) -> str | BatchataError:
        try:
            with self._context.open_file(source) as file:
                remote = await self.api(upload.provider).upload(upload, file)
        except ProviderUnavailableError:
            self.doubtful.add(upload.token)
            raise
        except ProviderRejectedError as error:
            return self._refused(upload, error)
        except ValidationError as error:  # the file itself: it vanished or changed
            return error
        self._arrived(upload, remote)
        return remote.id

    def _refused(self, upload: Upload, error: ProviderRejectedError) -> BatchataError:
        if self._context.config.uploads == "auto" and error.status not in (401, 402):
            log.warning("%r goes inside the requests: %s", upload.name, error.message)
            self._context.record(UploadMoved(token=upload.token, status=UploadStatus.GONE))
            self.plan.refuse(upload.key, all_files=error.status in _NO_PLACE)
            raise _GoesInlineError(error.message) from error
        if isinstance(error, AccountStoppedError):
            raise error
        return ProviderRejectedError(
            f"file {upload.name!r} was not taken: {error.message}",
            hint='send it inside the request, with .set_uploads("never")',
            status=error.status,
        )

    def _arrived(self, upload: Upload, remote: RemoteFile) -> None:
        self._context.record(
            UploadMoved(
                token=upload.token,
                status=UploadStatus.THERE,
                file_id=remote.id,
                expires_us=remote.expires_us,
            )
        )


def _check_size(size: int, most_bytes: int | None) -> None:
    if most_bytes is not None and size > most_bytes:
        raise ValidationError(
            f"the request has {size:,} bytes with its files in it, and the vendor takes "
            f"{most_bytes:,} in one live call",
            hint='have the files uploaded, with .set_uploads("auto"), or split the job',
        )


async def _answered(call: Awaitable[T]) -> T | None:
    """What a vendor says of its files; None where it does not say."""
    try:
        return await call
    except AccountStoppedError:
        raise
    except ProviderRejectedError as error:
        log.info("the vendor does not tell of its files: %s", error.message)
        return None


class _GoesInlineError(BatchataError):
    """The vendor does not take a file by id, and need not."""
