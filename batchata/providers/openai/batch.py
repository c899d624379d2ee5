"""OpenAI's batch endpoint: upload, create, look, download. Source: OpenAI API reference, Batch."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import (
    AccountStoppedError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.job import safe_name
from batchata.core.result import Failure, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts, Shape, Submission
from batchata.ports import BatchLook, Found, Item, Lookup, NotThere
from batchata.providers.caller import Caller
from batchata.providers.connection import Connection
from batchata.providers.control import Patience, count_of, readable
from batchata.providers.failures import (
    error_words,
    is_model_missing,
    is_queue_full,
    is_too_large,
    item_failure,
    word,
)
from batchata.providers.openai import wire
from batchata.providers.openai.client import pages, vendor_of
from batchata.providers.profiles import OPENAI, Profile
from batchata.providers.result_files import items_of, line_of
from batchata.providers.transport import Transport

log = logging.getLogger("batchata.providers.openai")

STATES: Final = {
    "validating": RemoteState.QUEUED,
    "in_progress": RemoteState.RUNNING,
    "finalizing": RemoteState.RUNNING,
    "cancelling": RemoteState.CANCELLING,
    "completed": RemoteState.COMPLETED,
    "expired": RemoteState.EXPIRED,
    "cancelled": RemoteState.CANCELLED,
    "failed": RemoteState.FAILED,
}
#: how far before the intent a vendor's clock may date the batch; what is found is certain, so
#: that a wide window costs pages and nothing else
SKEW_SECONDS: Final = 86_400
_TOKEN_KEY: Final = "batchata_submission"
_CUSTOM_ID: Final = re.compile(rb'"custom_id"\s*:\s*"([^"\\\n]{1,200})"')


class OpenAIBatch:
    """The batch endpoint, through the official SDK for control and our transport for results."""

    limits = BatchLimits(
        requests=50_000, size_bytes=OPENAI.batch_bytes, one_model=True, embedding_inputs=50_000
    )
    poll_seconds = 5.0
    head, separator, tail = b"", b"\n", b"\n"
    request_suffix = ".jsonl"

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        patience: Patience | None = None,
        profile: Profile = OPENAI,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._caller = Caller(vendor_of(profile), connection, patience)
        self._name, self._title = profile.name, profile.title
        self._ended: dict[str, Any] = {}  #: what the last look saw of batches with answers
        if profile.batch_bytes != OPENAI.batch_bytes:
            self.limits = replace(self.limits, size_bytes=profile.batch_bytes)

    @property
    def client(self) -> Any:
        """The SDK client, made at the first call."""
        return self._connection.client

    def group(self, shape: Shape) -> str:
        """One endpoint and one model to a file."""
        return f"{shape.endpoint} {shape.model}"

    def custom_id(self, token: str, job_id: str) -> str:
        """The job's id, or a digest of it where it has characters that vendors refuse."""
        return safe_name(job_id)

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """One line of the input file."""
        head = f'{{"custom_id":"{custom_id}","method":"POST","url":"{shape.endpoint}","body":'
        return head.encode() + body + b"}"

    async def upload(self, submission: Submission, path: Path) -> str | None:
        """Stream the input file to the vendor; it is named after the token."""
        name = _file_name(submission)
        with path.open("rb") as file:
            uploaded = await self._caller.ask(
                self.client.files.create, named=True, file=(name, file), purpose="batch"
            )
        return str(uploaded.id)

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        """A file of this submission's name and size; one of another size was cut short."""
        try:
            with readable(self._title):
                return await self._uploaded(submission, path)
        except AccountStoppedError:
            raise
        except ProviderRejectedError as error:  # a vendor without a listing: it goes up again
            log.info("uploads cannot be listed: %s", error.message)
            return None

    async def _uploaded(self, submission: Submission, path: Path) -> str | None:
        since = submission.intended_us / 1e6 - SKEW_SECONDS
        newest = pages(
            self._caller, self.client.files.list, purpose="batch", limit=1000, order="desc"
        )
        async for file in newest:
            if file.created_at < since:
                break
            if file.filename == _file_name(submission) and file.bytes == path.stat().st_size:
                return str(file.id)
        return None

    async def create(self, submission: Submission, path: Path) -> str:
        """Start the batch; its metadata carries the token."""
        batch = await self._caller.control(
            self.client.batches.create,
            creating=True,
            input_file_id=submission.input_ref,
            endpoint=submission.endpoint,
            completion_window="24h",
            metadata={_TOKEN_KEY: submission.token},
        )
        return str(batch.id)

    async def look(self, remote_id: str) -> BatchLook:
        """Status and request counts."""
        batch = await self._caller.control(self.client.batches.retrieve, remote_id)
        with readable(self._title):
            look = read_batch(batch)
            if look.state.is_final and batch.output_file_id:
                self._ended[remote_id] = batch
        return look

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        """Search the listing for the token in metadata, or for the uploaded file."""
        with readable(self._title):
            return await self._found(submission, known)

    async def _found(self, submission: Submission, known: frozenset[str]) -> Lookup:
        since = submission.intended_us / 1e6 - SKEW_SECONDS
        async for batch in pages(self._caller, self.client.batches.list, limit=100):
            if batch.created_at < since:
                break
            if batch.id in known:
                continue  # the same file may have been sent before, and refused
            if (batch.metadata or {}).get(_TOKEN_KEY) == submission.token:
                return Found(batch.id)
            if submission.input_ref and batch.input_file_id == submission.input_ref:
                return Found(batch.id)
        return NotThere()

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        """Output and error file, where the batch has them; their names are of the last look."""
        batch = self._ended.pop(remote_id, None)  # a second attempt asks where they are now
        if batch is None:
            batch = await self._caller.control(self.client.batches.retrieve, remote_id)
        name = f"{self._name}_batch_{safe_name(remote_id)}"
        output, errors = folder / f"{name}.jsonl", folder / f"{name}_errors.jsonl"
        paths = []
        if batch.output_file_id:
            await self._fetch(batch.output_file_id, output)
            paths.append(output)
        if batch.error_file_id and await self._is_fetched(batch.error_file_id, errors):
            paths.append(errors)
        return paths

    async def _is_fetched(self, file_id: str, path: Path) -> bool:
        """Fetch an error file; one that is not there keeps nobody from the paid answers."""
        try:
            await self._fetch(file_id, path)
        except ProviderRejectedError as error:
            if error.status not in (404, 410):
                raise
            log.warning("the error file %s is gone: %s", file_id, error.message)
            return False
        return True

    async def _fetch(self, file_id: str, path: Path) -> None:
        await self._connection.has_new_key()
        url = f"{self._connection.files_url}/files/{file_id}/content{self._connection.query}"
        await self._transport.download(url, self._connection.reading_headers, path)

    def items(self, path: Path) -> Iterator[Item]:
        """Answers and failures, line by line."""
        return items_of(path, read_line)

    async def cancel(self, remote_id: str) -> None:
        """Ask the vendor to stop; a batch that has ended already is left as it is."""
        try:
            await self._caller.control(self.client.batches.cancel, remote_id)
        except ProviderError as error:
            if isinstance(error, ProviderUnavailableError) and error.status != 409:
                raise
            log.info("batch %s was not cancelled: %s", remote_id, error.message)

    async def forget(self, submission: Submission) -> None:
        """Delete the uploaded input file."""
        if submission.input_ref:
            await self._caller.control(self.client.files.delete, submission.input_ref)


def _file_name(submission: Submission) -> str:
    return f"batchata_{submission.token}.jsonl"


def read_batch(batch: Any) -> BatchLook:
    """A batch object in our words; an unknown status word counts as running."""
    status = str(batch.status or "").lower()
    state = STATES.get(status)
    if state is None:
        log.warning("batch %s has the unknown status %r: waiting on", batch.id, batch.status)
        state = RemoteState.RUNNING
    counts = batch.request_counts
    errors = [each for each in (batch.errors.data if batch.errors else None) or () if each]
    return BatchLook(
        state=state,
        counts=RequestCounts(
            total=count_of(counts.total),
            succeeded=count_of(counts.completed),
            failed=count_of(counts.failed),
        )
        if counts
        else RequestCounts(),
        word=status,
        failure=_batch_failure(errors) if state is RemoteState.FAILED else None,
        bad_lines={
            each.line: Failure(
                Reason.MODEL_NOT_FOUND
                if is_model_missing(None, word(each.code), "")
                else Reason.INVALID_REQUEST,
                str(each.message or each.code or "refused"),
                code=word(each.code),
            )
            for each in errors
            if isinstance(each.line, int)
        },
        is_queue_full=any(
            is_queue_full(word(each.code), str(each.message or "")) for each in errors
        ),
        is_too_large=any(is_too_large(word(each.code)) for each in errors),
    )


def _batch_failure(errors: list[Any]) -> Failure:
    if not errors:
        return Failure(Reason.BATCH_FAILED, "the vendor refused the batch and gave no reason")
    said = "; ".join(
        f"{each.message or each.code}" + (f" (line {each.line})" if each.line else "")
        for each in errors[:3]
    )
    return Failure(
        Reason.BATCH_FAILED, f"the vendor refused the batch: {said}", code=word(errors[0].code)
    )


def read_line(line: bytes, number: int, name: str) -> Item:
    """One line of an output or error file."""
    try:
        parsed = line_of(wire.decode_line, line)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or nested without end
        found = _CUSTOM_ID.search(line)
        why = f"line {number} of {name} cannot be read: {error}"
        custom_id = found[1].decode("utf-8", "replace") if found else ""
        return Item(custom_id, None, Failure(Reason.UNREADABLE, why))
    response = parsed.response
    if response is not None and 200 <= response.status_code < 300:
        return Item(parsed.custom_id, response.body, None, response.request_id)
    if response is not None:
        return Item(parsed.custom_id, None, _refused(response))
    said = parsed.error or {}
    return Item(
        parsed.custom_id,
        None,
        item_failure(
            status=None, code=said.get("code"), message=str(said.get("message") or "no answer")
        ),
    )


def _refused(response: wire.LineResponse) -> Failure:
    code, said = error_words(bytes(response.body))
    return item_failure(
        status=response.status_code, code=code, message=said, request_id=response.request_id
    )
