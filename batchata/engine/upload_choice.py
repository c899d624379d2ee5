"""Which of a request's files go to their vendor by id."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from batchata.core.config import RunConfig
from batchata.core.document import Attachment
from batchata.core.submission import Shape
from batchata.core.upload import UploadKey, worth_uploading
from batchata.ports import Provider


@dataclass(frozen=True, slots=True)
class UploadChoice:
    """The choice for one provider, by the run's settings."""

    provider: Provider
    config: RunConfig

    def chosen(
        self,
        shape: Shape,
        attachments: Sequence[Attachment],
        size_bytes: int,
        uses: Callable[[Attachment], int],
        refused: Set[UploadKey] = frozenset(),
    ) -> list[tuple[Attachment, UploadKey]]:
        """Those of these files that go by id; with all of them the request has `size_bytes`.

        `uses` says how many jobs ask about a file; `refused` ones the vendor does not take.
        """
        files = self.provider.files
        if files is None or self.config.uploads == "never":
            return []
        keys: dict[str, UploadKey] = {}
        for each in attachments:
            destination = files.destination(shape, each)
            if destination is not None:
                key = UploadKey(shape.provider, *destination, each.sha256)
                if key not in refused:
                    keys[each.sha256] = key
        takes = [each for each in attachments if each.sha256 in keys]
        picked = worth_uploading(
            takes,
            self.config.uploads,
            uses=[uses(each) for each in takes],
            is_too_large=size_bytes > self._most_bytes,
        )
        return [(each, keys[each.sha256]) for each in picked]

    @property
    def _most_bytes(self) -> float:
        """The size that a request must keep within on every route it may take."""
        config, provider = self.config, self.provider
        limits = [float("inf")]
        if provider.batch is not None and config.makes_batches:
            limits.append(provider.batch.limits.size_bytes)
        if provider.live is not None and (config.route != "batch" or config.pilot is not None):
            limits.append(provider.live.request_bytes or float("inf"))
        return min(limits)
