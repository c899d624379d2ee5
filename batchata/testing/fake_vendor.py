"""A vendor in memory: takes batches, answers them, bills them, and fails as it is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import orjson

from batchata.core.errors import ProviderRejectedError
from batchata.core.job import safe_name
from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts, Shape, Submission
from batchata.ports import (
    BackgroundAPI,
    BatchLook,
    CannotTell,
    Codec,
    FilesAPI,
    Found,
    Item,
    LiveAPI,
    Lookup,
    NotThere,
)
from batchata.testing.fake_codec import FakeCodec, answer_body
from batchata.testing.fake_files import FakeFilesAPI
from batchata.testing.scripted import ScriptedCalls

#: (custom_id, request) → the answer's body, why there is none, or None for no line at all
Answers = Callable[[str, dict[str, Any]], bytes | Failure | None]
LIMITS = BatchLimits(requests=100, size_bytes=100_000, one_model=True)


class Line(msgspec.Struct):
    """One line of a request file or of a result file."""

    custom_id: str
    body: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


@dataclass(slots=True)
class FakeBatch:
    """One batch at the fake vendor."""

    id: str
    token: str
    requests: list[tuple[str, dict[str, Any]]]
    looks: int = 0
    final: BatchLook | None = None  #: how it ends, where that was scripted
    is_cancelled: bool = False
    lines: list[Line] | None = None  #: its results, once it has ended


@dataclass(slots=True, kw_only=True)
class FakeBatchAPI(ScriptedCalls):
    """A batch endpoint in memory; `billed` holds the custom_id of every answer that was paid."""

    limits: BatchLimits = LIMITS
    looks_needed: int = 1  #: how often a batch is looked at before it has ended
    listings_missed: int = 0  #: how often a search does not show a batch that is there
    answer: Answers = lambda custom_id, request: answer_body(f"hi {request['prompt']}")
    poll_seconds: float = 1.0
    head: bytes = b""
    separator: bytes = b"\n"
    tail: bytes = b"\n"
    request_suffix: str = ".jsonl"
    batches: dict[str, FakeBatch] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    billed: list[str] = field(default_factory=list)
    _endings: deque[BatchLook | None] = field(default_factory=deque)

    def end_next(self, *looks: BatchLook | None) -> None:
        """The next batches end like this, one after the other; None: as usual."""
        self._endings.extend(looks)

    def group(self, shape: Shape) -> str:
        """One endpoint and one model to a batch."""
        return f"{shape.endpoint} {shape.model}"

    def custom_id(self, token: str, job_id: str) -> str:
        """The job's id, or a digest of it."""
        return safe_name(job_id)

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """One request of the uploaded file."""
        return msgspec.json.encode(Line(custom_id, msgspec.Raw(body)))

    async def upload(self, submission: Submission, path: Path) -> str | None:
        """Keep the file under an id."""
        return await self._do("upload", lambda: self._keep(submission, path))

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        """The id of a file that an upload whose answer was lost has brought."""
        reference = f"file-{submission.token}"
        return await self._do("uploaded", lambda: reference if reference in self.uploads else None)

    async def create(self, submission: Submission, path: Path) -> str:
        """Start a batch of the uploaded file."""
        return await self._do("create", lambda: self._start(submission))

    async def look(self, remote_id: str) -> BatchLook:
        """Where the batch stands; each look brings it on."""
        return await self._do("look", lambda: self._seen(self._known(remote_id)))

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        """Search by the token."""
        return await self._do("find", lambda: self._search(submission))

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        """Write the results of an ended batch."""
        return await self._do("download", lambda: self._write(self._known(remote_id), folder))

    def items(self, path: Path) -> Iterator[Item]:
        """Read a result file line by line."""
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                read = msgspec.json.decode(line, type=Line)
            except msgspec.DecodeError as error:
                yield Item("", None, Failure(Reason.UNREADABLE, f"line {number}: {error}"))
            else:
                yield Item(read.custom_id, None if read.failure else read.body, read.failure)

    async def cancel(self, remote_id: str) -> None:
        """Stop the batch; what has ended stays as it is."""
        await self._do("cancel", lambda: self._cancel(self._known(remote_id)))

    async def forget(self, submission: Submission) -> None:
        """Remove the uploaded file."""
        await self._do("forget", lambda: self.uploads.pop(submission.input_ref or "", None))

    def _keep(self, submission: Submission, path: Path) -> str:
        reference = f"file-{submission.token}"
        self.uploads[reference] = path.read_bytes()
        return reference

    def _start(self, submission: Submission) -> str:
        data = self.uploads.get(submission.input_ref or "")
        if data is None:
            raise ProviderRejectedError(f"there is no file {submission.input_ref!r}", status=400)
        lines = [msgspec.json.decode(line, type=Line) for line in data.split(b"\n") if line]
        remote_id = f"fake-{len(self.batches) + 1}"
        self.batches[remote_id] = FakeBatch(
            remote_id,
            submission.token,
            [(line.custom_id, orjson.loads(bytes(line.body))) for line in lines],
            final=self._endings.popleft() if self._endings else None,
        )
        return remote_id

    def _known(self, remote_id: str) -> FakeBatch:
        batch = self.batches.get(remote_id)
        if batch is None:
            raise ProviderRejectedError(f"there is no batch {remote_id!r}", status=404)
        return batch

    def _seen(self, batch: FakeBatch) -> BatchLook:
        batch.looks += 1
        total = len(batch.requests)
        if batch.lines is None and batch.looks < self.looks_needed and not batch.is_cancelled:
            return BatchLook(RemoteState.RUNNING, RequestCounts(total=total), "running")
        if batch.final is not None and batch.final.state is RemoteState.FAILED:
            if batch.final.counts.succeeded and batch.lines is None:
                batch.lines = self._answered(batch)
            return batch.final
        lines = batch.lines = self._answered(batch) if batch.lines is None else batch.lines
        if batch.final is not None:
            return batch.final
        good = sum(line.failure is None for line in lines)
        counts = RequestCounts(total=total, succeeded=good, failed=len(lines) - good)
        state = RemoteState.CANCELLED if batch.is_cancelled else RemoteState.COMPLETED
        return BatchLook(state, counts, state.value)

    def _answered(self, batch: FakeBatch) -> list[Line]:
        if batch.is_cancelled:
            why = Failure(Reason.VENDOR_CANCELLED, "cancelled before it was reached")
            return [Line(custom_id, failure=why) for custom_id, _ in batch.requests]
        lines = []
        for custom_id, request in batch.requests:
            found = self.answer(custom_id, request)
            if isinstance(found, Failure):
                lines.append(Line(custom_id, failure=found))
            elif found is not None:
                self.billed.append(custom_id)
                lines.append(Line(custom_id, msgspec.Raw(found)))
        return lines

    def _search(self, submission: Submission) -> Lookup:
        for batch in self.batches.values():
            if batch.token == submission.token:
                if self.listings_missed:
                    self.listings_missed -= 1
                    return CannotTell("the listing is not complete yet")
                return Found(batch.id)
        return NotThere()

    def _write(self, batch: FakeBatch, folder: Path) -> list[Path]:
        path = folder / f"fake_batch_{batch.id}.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in batch.lines or ()))
        return [path]

    def _cancel(self, batch: FakeBatch) -> None:
        batch.is_cancelled = batch.is_cancelled or batch.lines is None


class FakeProvider:
    """A provider whose vendor is in memory."""

    def __init__(
        self,
        name: str = "fake",
        batch: FakeBatchAPI | None = None,
        files: FakeFilesAPI | None = None,
        background: BackgroundAPI | None = None,
    ) -> None:
        self.name = name
        self.codec: Codec = FakeCodec(name)
        self.batch = batch or FakeBatchAPI()
        self.live: LiveAPI | None = None
        self.background = background
        self.files: FilesAPI | None = files
        self.is_closed = False

    async def aclose(self) -> None:
        """Nothing is held."""
        self.is_closed = True
