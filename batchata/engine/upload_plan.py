"""Which files go to their vendor by id, and how many bytes that saves in the requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from batchata.core.document import Attachment
from batchata.core.status import CODES, JobStatus
from batchata.core.upload import LARGE_BYTES, UploadKey, inline_bytes
from batchata.engine.context import RunContext
from batchata.engine.upload_choice import UploadChoice

_UNSETTLED: Final = (CODES[JobStatus.PENDING], CODES[JobStatus.SUBMITTED])
_GROUP: Final = 500


class UploadPlan:
    """Decides for every job that is not settled, as the run's `uploads` says."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._uses: Counter[tuple[str, str]] = Counter()  #: of small files, by provider and digest
        self._spared: dict[int, int] = {}  #: by seq, bytes
        self._refusing: set[str] = set()  #: providers that take no file by id
        self._refused: set[UploadKey] = set()

    def make(self) -> None:
        """Look at all jobs that are not settled; sizes are right from then on."""
        self._uses.clear()
        self._spared.clear()
        if self._context.config.uploads == "never":
            return
        for seq, attachments in self._attached():
            provider = self._context.shape(seq).provider
            for each in attachments:
                if each.size_bytes < LARGE_BYTES:
                    self._uses[provider, each.sha256] += 1
        for seq, attachments in self._attached():
            spared = sum(inline_bytes(each) for each, _ in self.chosen(seq, attachments))
            if spared:
                self._spared[seq] = spared

    def sent_bytes(self, seq: int) -> int:
        """Size of a job's request as it is sent, without the files that go by id."""
        return self._context.state.size_bytes[seq] - self._spared.get(seq, 0)

    def chosen(
        self, seq: int, attachments: Sequence[Attachment]
    ) -> list[tuple[Attachment, UploadKey]]:
        """Those of a job's files that go by id."""
        context = self._context
        shape = context.shape(seq)
        provider = context.providers.get(shape.provider)
        if provider is None or shape.provider in self._refusing:
            return []
        return UploadChoice(provider, context.config).chosen(
            shape,
            attachments,
            context.state.size_bytes[seq],
            lambda each: self._uses[shape.provider, each.sha256] or 1,
            self._refused,
        )

    def refuse(self, key: UploadKey, *, all_files: bool) -> None:
        """The vendor does not take this file by id, or none: it goes inside the requests."""
        self._refused.add(key)
        if all_files:
            self._refusing.add(key.provider)
        self.make()

    def _attached(self) -> Iterator[tuple[int, tuple[Attachment, ...]]]:
        """Unsettled jobs that have files."""
        status = self._context.state.status
        seqs = [seq for seq, code in enumerate(status) if code in _UNSETTLED]
        for start in range(0, len(seqs), _GROUP):
            yield from self._context.store.attachments(seqs[start : start + _GROUP]).items()
