"""Anthropic's batch endpoint. Source: Anthropic API reference, Message Batches."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from batchata.core.errors import AccountStoppedError, ProviderRejectedError
from batchata.core.job import safe_name
from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts, Shape, Submission
from batchata.ports import BatchLook, CannotTell, Found, Item, Lookup, NotThere
from batchata.providers.anthropic.client import VENDOR
from batchata.providers.caller import Caller
from batchata.providers.connection import Connection
from batchata.providers.control import Patience, count_of, pieces, readable
from batchata.providers.failures import item_failure
from batchata.providers.result_files import items_of, line_of
from batchata.providers.transport import Transport, same_origin

log = logging.getLogger("batchata.providers.anthropic")

_T = TypeVar("_T")

STATES: Final = {
    "in_progress": RemoteState.RUNNING,
    "canceling": RemoteState.CANCELLING,
    "ended": RemoteState.COMPLETED,
}
#: how far a vendor's clock and ours may differ, as where ours is in another time zone; all batches
#: of that time are candidates
SKEW_SECONDS: Final = 86_400
_CUSTOM_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([^"\\\n]{1,200})"')
_ENDED: Final = {
    "canceled": Failure(Reason.VENDOR_CANCELLED, "the vendor cancelled the request"),
    "expired": Failure(Reason.EXPIRED, "the vendor did not get to it within 24 hours"),
}


class ErrorBody(msgspec.Struct):
    error: dict[str, Any] | None = None
    request_id: str | None = None


class LineResult(msgspec.Struct):
    type: str
    message: msgspec.Raw = msgspec.Raw()
    error: ErrorBody | None = None


class Line(msgspec.Struct):
    custom_id: str
    result: LineResult


_decode_line = msgspec.json.Decoder(Line).decode


class AnthropicBatch:
    """The batch endpoint, through the official SDK for control and our transport for results."""

    limits = BatchLimits(
        requests=100_000, size_bytes=256_000_000, one_model=False, queue_requests=200_000
    )
    poll_seconds = 1.0
    head, separator, tail = b'{"requests":[\n', b",\n", b"\n]}\n"
    request_suffix = ".json"

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        patience: Patience | None = None,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._caller = Caller(VENDOR, connection, patience)
        self._marks: dict[str, frozenset[str]] = {}  #: whose ended batches are, by their ids
        self._ended: dict[str, Any] = {}  #: what the last look saw of batches with answers

    @property
    def client(self) -> Any:
        """The SDK client, made at the first call."""
        return self._connection.client

    def group(self, shape: Shape) -> str:
        """Models may be mixed, versions of the protocol may not."""
        return f"{shape.endpoint} {shape.wire_version}"

    def custom_id(self, token: str, job_id: str) -> str:
        """The token and the job's id: batches carry no other mark of ours."""
        return f"{token}_{safe_name(job_id, 63 - len(token))}"

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """One request of the batch."""
        return b'{"custom_id":"' + custom_id.encode() + b'","params":' + body + b"}"

    async def upload(self, submission: Submission, path: Path) -> str | None:
        """Nothing: the requests travel with the create call."""
        return None

    async def create(self, submission: Submission, path: Path) -> str:
        """Stream the requests from disk into the create call."""
        from anthropic.types.messages import MessageBatch

        batch = await self._caller.ask(
            self.client.post,
            "/v1/messages/batches",
            creating=True,
            cast_to=MessageBatch,
            content=self._content(path),
            options={
                "headers": {
                    "anthropic-version": submission.wire_version,
                    "content-type": "application/json",
                    "content-length": str(path.stat().st_size),
                },
                "max_retries": 0,
            },
        )
        return str(batch.id)

    def _content(self, path: Path) -> Any:
        import anthropic

        return pieces(path) if isinstance(self.client, anthropic.AsyncAnthropic) else _read(path)

    async def look(self, remote_id: str) -> BatchLook:
        """Processing status; the vendor counts only when the whole batch has ended."""
        batch = await self._caller.control(self.client.messages.batches.retrieve, remote_id)
        with readable("Anthropic"):
            look = read_batch(batch)
            if look.state.is_final and batch.results_url:
                self._ended[remote_id] = batch
        return look

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        """Candidates by time and count, confirmed by the token in a result's custom_id."""
        with readable("Anthropic"):
            return await self._found(submission, known)

    async def _found(self, submission: Submission, known: frozenset[str]) -> Lookup:
        waiting, silent = 0, []
        async for batch in self._candidates(submission, known):
            if batch.processing_status != "ended" or not batch.results_url:
                waiting += 1
                continue
            marks = await self._marks_of(batch)
            if submission.token in marks:
                return Found(batch.id)
            if not marks:
                silent.append(batch.id)
        if waiting:
            return CannotTell(
                f"{waiting} batches of the same size and time have not ended: "
                "Anthropic shows their requests only then"
            )
        if silent:
            return CannotTell(f"the results of {', '.join(silent)} cannot be read: is it one?")
        return NotThere()

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        """Nothing is uploaded."""
        return None

    async def _candidates(self, submission: Submission, known: frozenset[str]) -> Any:
        since = submission.intended_us / 1e6 - SKEW_SECONDS
        until = (submission.sent_us or submission.intended_us) / 1e6 + SKEW_SECONDS
        count = len(submission.seqs)
        async for batch in self._listing():
            created = _seconds(batch.created_at)
            if created < since:
                return
            counts = batch.request_counts
            total = sum(
                (
                    counts.processing,
                    counts.succeeded,
                    counts.errored,
                    counts.canceled,
                    counts.expired,
                )
            )
            if created <= until and total == count and batch.id not in known:
                yield batch

    async def _listing(self) -> AsyncIterator[Any]:
        after: str | None = None
        while True:
            more: dict[str, Any] = {} if after is None else {"after_id": after}
            page = await self._caller.control(self.client.messages.batches.list, limit=1000, **more)
            for batch in page.data:
                yield batch
            if not page.data or not page.has_more:
                return
            after = page.last_id or page.data[-1].id

    async def _marks_of(self, batch: Any) -> frozenset[str]:
        """The parts of a batch's custom_ids before the first underscore; empty if unreadable."""
        known = self._marks.get(batch.id)
        if known:
            return known
        try:
            head = await self._fetched(batch, self._transport.head)
        except AccountStoppedError:
            raise
        except ProviderRejectedError as error:
            log.info("results of batch %s cannot be read: %s", batch.id, error.message)
            return frozenset()
        found = (each.decode("utf-8", "replace") for each in _CUSTOM_ID.findall(head))
        marks = self._marks[batch.id] = frozenset(each.partition("_")[0] for each in found)
        return marks

    async def _fetched(
        self, batch: Any, fetch: Callable[[str, dict[str, str]], Awaitable[_T]]
    ) -> _T:
        """Fetch the results of a batch from the first place that does not refuse them."""
        await self._connection.has_new_key()
        first, *others = self._places(batch)
        try:
            return await fetch(*first)
        except AccountStoppedError:
            raise
        except ProviderRejectedError as error:
            if not others:
                raise
            log.info("%s; asking %s", error.message, others[0][0])
        return await fetch(*others[0])

    def _places(self, batch: Any) -> list[tuple[str, dict[str, str]]]:
        """Addresses of the results, each with its headers.

        A gateway that passes on the vendor's answers names the vendor's own host, which its users
        may have no way to reach and no key for; so the address that they know comes first.
        """
        base, headers = self._connection.base_url, self._connection.reading_headers
        known = f"{base}/v1/messages/batches/{batch.id}/results{self._connection.query}"
        told = batch.results_url or known
        if told == known:
            return [(known, headers)]
        if same_origin(told, base):
            return [(told, headers), (known, headers)]
        return [(known, headers), (told, {})]  # a key is never sent to another host

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        """Fetch the results of an ended batch, from the address that the last look found."""
        batch = self._ended.pop(remote_id, None)  # a second attempt asks where they are now
        if batch is None:
            batch = await self._caller.control(self.client.messages.batches.retrieve, remote_id)
        path = folder / f"anthropic_batch_{safe_name(remote_id)}.jsonl"
        with readable("Anthropic"):
            await self._fetched(batch, partial(self._transport.download, path=path))
        return [path]

    def items(self, path: Path) -> Iterator[Item]:
        """Answers and failures, line by line."""
        return items_of(path, read_line)

    async def cancel(self, remote_id: str) -> None:
        """Ask the vendor to stop; a batch that has ended already is left as it is."""
        try:
            await self._caller.control(self.client.messages.batches.cancel, remote_id)
        except ProviderRejectedError as error:
            log.info("batch %s was not cancelled: %s", remote_id, error.message)

    async def forget(self, submission: Submission) -> None:
        """Nothing was uploaded."""


def read_batch(batch: Any) -> BatchLook:
    """A batch object in our words; an unknown status word counts as running."""
    word = str(batch.processing_status or "").lower()
    state = STATES.get(word)
    if state is None:
        log.warning("Anthropic batch %s has the unknown status %r: waiting on", batch.id, word)
        state = RemoteState.RUNNING
    counts = batch.request_counts
    failed = sum(map(count_of, (counts.errored, counts.canceled, counts.expired)))
    succeeded = count_of(counts.succeeded)
    return BatchLook(
        state=state,
        counts=RequestCounts(
            total=count_of(counts.processing) + failed + succeeded,
            succeeded=succeeded,
            failed=failed,
        ),
        word=word,
    )


def read_line(line: bytes, number: int, name: str) -> Item:
    """One line of a results file."""
    try:
        parsed = line_of(_decode_line, line)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        found = _CUSTOM_ID.search(line)
        why = f"line {number} of {name} cannot be read: {error}"
        custom_id = found[1].decode("utf-8", "replace") if found else ""
        return Item(custom_id, None, Failure(Reason.UNREADABLE, why))
    result = parsed.result
    if result.type == "succeeded":  # billed, also where the message is missing
        return Item(parsed.custom_id, result.message or msgspec.Raw(b"null"))
    if result.type in _ENDED:
        return Item(parsed.custom_id, None, _ENDED[result.type])
    body = result.error or ErrorBody()
    said = body.error or {}
    details = said.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    return Item(
        parsed.custom_id,
        None,
        item_failure(
            status=None,
            code=code or said.get("type") or result.type,
            message=str(said.get("message") or f"the request ended as {result.type!r}"),
            request_id=body.request_id,
        ),
    )


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(256 * 1024):
            yield piece
