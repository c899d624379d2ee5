"""What the extractors of both vendors have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from batchata.batch import Batch
from batchata.core.job import check_number
from batchata.frames.batch_folder import BatchFolder, wait_until_sent
from batchata.run import BatchRun


class BatchExtractor:
    """Sends the contents of a job's folder to one vendor, and resumes it."""

    provider: ClassVar[str]
    #: most that may be at the vendor at a time
    max_parallel_batches: ClassVar[int]
    max_requests_per_batch: int | None = None  #: as many as the vendor takes, if not given

    def __init__(
        self,
        batch_root_dir: str | Path,
        *,
        api_key: str | None,
        base_url: str | None,
        client: Any,
        poll_factor: float,
    ) -> None:
        self.batch_root_dir = Path(batch_root_dir)
        self._reach = {"api_key": api_key, "base_url": base_url, "client": client}
        self._poll_factor = poll_factor

    def _folder(self, job_id: str) -> BatchFolder:
        return BatchFolder(self.batch_root_dir, job_id)

    def _submit(self, folder: BatchFolder) -> None:
        """Send what was written, and return once the vendor has it."""
        wait_until_sent(folder.run(self._batch(folder)).start(print_status=True))

    def _attach(self, folder: BatchFolder, *, sends: bool, interval: float) -> BatchRun:
        """A run of what was sent; `interval` is kept for old scripts, and is only checked."""
        check_number("interval", interval, least=0)
        return folder.attach(self._batch(folder), sends=sends)

    def _batch(self, folder: BatchFolder) -> Batch:
        batch = Batch(
            folder.path / "batch_output",
            max_parallel_batches=self.max_parallel_batches,
            items_per_batch=self.max_requests_per_batch,
            result_format="jsonl",
        )
        batch.set_prices(allow_unpriced=True).set_polling(self._poll_factor)
        if any(value is not None for value in self._reach.values()):
            batch.set_provider(self.provider, **self._reach)
        return batch
