"""A vendor that answers a call only when it is told how, and keeps an honest bill."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson

from batchata.core.document import Accepts
from batchata.core.errors import (
    AccountStoppedError,
    OutcomeUnknownError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.job import Job
from batchata.core.result import Answer, Failure, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts, Shape, Submission
from batchata.ports import BatchLook, CannotTell, Encoded, Found, Item, Lookup, NotThere

PRICE = Decimal("0.001")  #: of each answer
BOUND = Decimal("0.004")  #: what is set aside for it
SHAPE = Shape(provider="fake", endpoint="/fake", model="fake-1")

#: how items of a batch may end
GOOD, BROKEN, INVALID = "good", "broken", "invalid"
GARBAGE, LOST, TWICE = "garbage", "lost", "twice"
BILLED = (GOOD, GARBAGE, LOST, TWICE)


@dataclass
class RemoteBatch:
    """A batch as the vendor has it."""

    id: str
    token: str
    job_ids: list[str]
    seen_from: float  #: listings show it from this moment on
    state: RemoteState = RemoteState.RUNNING
    ends: dict[str, str] = field(default_factory=dict)  #: by job id, of those that were reached
    is_queue_full: bool = False

    @property
    def is_final(self) -> bool:
        """True when it will not change any more."""
        return self.state.is_final

    def finish(self, state: RemoteState, ends: dict[str, str]) -> None:
        """Come to an end."""
        self.state, self.ends = state, ends

    @property
    def billed(self) -> list[str]:
        """Jobs that this batch costs money for."""
        return [job_id for job_id, end in self.ends.items() if end in BILLED]


@dataclass
class Call:
    """A call that waits for its answer."""

    kind: str
    about: Any
    answer: asyncio.Future[Any]


class FakeCodec:
    """Prompts as bodies."""

    accepts = Accepts()

    def encode(self, job: Job, model: str, documents: Sequence[Any] = ()) -> Encoded:
        """The prompt, with a bound of its own."""
        body = orjson.dumps({"prompt": job.prompt})
        return Encoded(
            shape=SHAPE, body=body, input_bound=10, output_bound=10, cost_bound_usd=BOUND
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer at its price."""
        text = orjson.loads(bytes(body))["text"]
        return Answer(text=text, finish_reason="stop", usage=None, cost_usd=PRICE)


class FakeVendor:
    """Provider and batch API in one; every call waits in `calls`."""

    name = "fake"
    live = None
    files = None
    limits = BatchLimits(requests=100, size_bytes=1_000_000, one_model=True)
    poll_seconds = 5.0
    head, separator, tail = b"", b"\n", b"\n"
    request_suffix = ".jsonl"

    def __init__(self, now: Callable[[], float], *, is_blind: bool) -> None:
        self.codec = FakeCodec()
        self.batch = self
        self.now = now
        self.is_blind = is_blind  #: batches show whose they are only when they have ended
        self.calls: list[Call] = []
        self.batches: dict[str, RemoteBatch] = {}
        self.files: dict[str, str] = {}  #: id → token
        self.is_gone = False  #: the process that called is dead
        self.retry_after: float | None = None  #: what "down" answers ask for
        self._number = 0

    def group(self, shape: Shape) -> str:
        """All together."""
        return "all"

    def custom_id(self, token: str, job_id: str) -> str:
        """Both names, so that a line tells whose it is."""
        return f"{token}_{job_id}"

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """One request."""
        return orjson.dumps({"custom_id": custom_id, "body": orjson.loads(body)})

    async def upload(self, submission: Submission, path: Path) -> str | None:
        await self._wait("upload", submission)
        return self.keep_file(submission)

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        await self._wait("uploaded", submission)
        mine = (name for name, token in self.files.items() if token == submission.token)
        return next(mine, None)

    async def create(self, submission: Submission, path: Path) -> str:
        assert submission.input_ref in self.files, "created from a file that is not there"
        lines = [orjson.loads(line) for line in path.read_bytes().split(b"\n") if line]
        job_ids = [line["custom_id"].partition("_")[2] for line in lines]
        hidden = await self._wait("create", (submission.token, job_ids))
        return self.accept(submission.token, job_ids, hidden or 0.0)

    async def look(self, remote_id: str) -> BatchLook:
        batch = self.batches[remote_id]
        await self._wait("look", batch)
        failure = None
        if batch.state is RemoteState.FAILED:
            failure = Failure(Reason.BATCH_FAILED, "refused")
        ends = list(batch.ends.values())
        counts = RequestCounts(
            total=len(batch.job_ids),
            succeeded=len(batch.billed),
            failed=len(ends) - len(batch.billed),
        )
        return BatchLook(
            batch.state, counts, batch.state, failure, is_queue_full=batch.is_queue_full
        )

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        await self._wait("find", submission)
        shown = [
            batch
            for batch in self.batches.values()
            if batch.id not in known and batch.seen_from <= self.now()
        ]
        for batch in shown:
            if batch.token == submission.token and (batch.is_final or not self.is_blind):
                return Found(batch.id)
        if self.is_blind and any(not batch.is_final for batch in shown):
            return CannotTell("some have not ended")
        return NotThere()

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        batch = self.batches[remote_id]
        await self._wait("download", batch)
        path = folder / f"fake_batch_{remote_id}.jsonl"
        path.write_bytes(b"".join(_lines(batch)))
        return [path]

    def items(self, path: Path) -> Iterator[Item]:
        for line in path.read_bytes().split(b"\n"):
            if not line:
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                yield Item("", None, Failure(Reason.UNREADABLE, "garbage"))
                continue
            reason = row.get("reason")
            failure = Failure(Reason(reason), "no") if reason else None
            yield Item(row["custom_id"], msgspec.Raw(line), failure)

    async def cancel(self, remote_id: str) -> None:
        batch = self.batches[remote_id]
        await self._wait("cancel", batch)
        if not batch.is_final:
            batch.finish(RemoteState.CANCELLED, {})

    async def forget(self, submission: Submission) -> None:
        await self._wait("forget", submission)
        self.files.pop(submission.input_ref or "", None)

    async def aclose(self) -> None:
        """Nothing is open."""

    def keep_file(self, submission: Submission) -> str:
        """Take an upload in."""
        self._number += 1
        self.files[f"file-{self._number}"] = submission.token
        return f"file-{self._number}"

    def accept(self, token: str, job_ids: list[str], hidden: float = 0.0) -> str:
        """Take a batch in; listings show it after `hidden` seconds."""
        assert all(each.token != token for each in self.batches.values()), f"{token} came twice"
        self._number += 1
        batch = RemoteBatch(f"batch-{self._number}", token, job_ids, self.now() + hidden)
        self.batches[batch.id] = batch
        return batch.id

    async def _wait(self, kind: str, about: Any) -> Any:
        if self.is_gone:
            raise ProviderUnavailableError("the process is dead")
        call = Call(kind, about, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        try:
            return await call.answer
        finally:
            if call in self.calls:
                self.calls.remove(call)

    def answer(self, call: Call, how: str, hidden: float) -> None:
        """Let a call end: well, not at all, or with its answer lost before or after its effect."""
        self.calls.remove(call)
        if call.answer.done():
            return
        if how == "well":
            call.answer.set_result(None)
        elif how == "down":
            error = ProviderUnavailableError("503", retry_after_seconds=self.retry_after)
            call.answer.set_exception(error)
        elif how == "refused":
            call.answer.set_exception(ProviderRejectedError("404", status=404))
        elif how == "denied":
            call.answer.set_exception(ProviderRejectedError("400", status=400))
        elif how == "stopped":
            call.answer.set_exception(AccountStoppedError("no credit", status=402))
        elif call.kind == "create":
            token, job_ids = call.about
            if how == "lost after":
                self.accept(token, job_ids, hidden)
            call.answer.set_exception(OutcomeUnknownError("the answer was lost"))
        else:
            if how == "lost after" and call.kind == "upload":
                self.keep_file(call.about)
            call.answer.set_exception(ProviderUnavailableError("cut"))


def _lines(batch: RemoteBatch) -> Iterator[bytes]:
    reasons = {BROKEN: Reason.SERVER_ERROR, INVALID: Reason.INVALID_REQUEST}
    for job_id in batch.job_ids:
        end = batch.ends.get(job_id)
        if end == LOST or (end is None and batch.state is RemoteState.COMPLETED):
            continue
        row: dict[str, Any] = {"custom_id": f"{batch.token}_{job_id}", "text": f"hi {job_id}"}
        if end == GARBAGE:
            yield b'{"custom_id": "broken\n'
            continue
        if end is None:
            is_late = batch.state is RemoteState.EXPIRED
            row["reason"] = Reason.EXPIRED if is_late else Reason.VENDOR_CANCELLED
        elif end in reasons:
            row["reason"] = reasons[end]
        yield orjson.dumps(row) + b"\n"
        if end == TWICE:
            yield orjson.dumps(row) + b"\n"
