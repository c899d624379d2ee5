"""How a batch ends: result files in its vendor's format, and the same as a table."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from batchata.core.errors import ResultsError
from batchata.core.result import JobResult
from batchata.core.status import JobStatus
from batchata.disk.atomic import sync_files, sync_folder
from batchata.gateway.batches.records import BatchRecord, Counts, KeptFile
from batchata.gateway.batches.store import BatchStore
from batchata.gateway.wire.batches import LATE
from batchata.gateway.wire.errors import VendorError
from batchata.gateway.wire.uploads import BATCH_DAYS, DAY
from batchata.gateway.wire.vendors import TokenUsage
from batchata.providers.failures import error_words
from batchata.providers.raw_requests import read_requests
from batchata.sdk.results import Results
from batchata.sinks.parquet import ParquetParts

#: a refusal as a server sent it
_SAID: Final = re.compile(r"(\d{3}) (.*)", re.DOTALL)
_GROUP: Final = 1000
Wire = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResults:
    """The outcome of a batch."""

    counts: Counts
    usage: TokenUsage
    output: KeptFile | None
    errors: KeptFile | None


def write_results(store: BatchStore, batch: BatchRecord) -> BatchResults:
    """Write the outcome of each request; repeated, it writes the same.

    Raises ResultsError when the files cannot be written.
    """
    output, errors = (store.file_path(f"file-{batch.id[-24:]}-{kind}") for kind in ("out", "err"))
    counts, usage, wrote = Counts(), _Usage(), {output: 0, errors: 0}
    try:
        with ExitStack() as stack, _Table(store.place(batch) / "results") as table:
            files = {path: stack.enter_context(path.open("wb")) for path in wrote}
            for number, result in enumerate(_ended(store, batch)):
                table.add(result)
                is_good = result.status is JobStatus.SUCCEEDED
                path = output if is_good or batch.vendor == "anthropic" else errors
                _write_line(files[path], batch, number, result)
                wrote[path] += 1
                usage.add(result)
                _count(counts, batch, result)
        sync_files(output.parent, [path for path, lines in wrote.items() if lines])
    except OSError as error:
        raise ResultsError(
            f"the results of {batch.id} cannot be written: {error.strerror or error}",
            hint="free some space: then they will be written",
        ) from error
    return BatchResults(
        counts=counts,
        usage=usage.total,
        output=_file(store, batch, output, "output", wrote[output]),
        errors=_file(store, batch, errors, "error", wrote[errors]),
    )


def _ended(store: BatchStore, batch: BatchRecord) -> Iterator[JobResult]:
    """Each request once, including those never sent."""
    unseen = dict.fromkeys(
        job.id for job in read_requests(store.input_of(batch), batch.provider, [batch.endpoint])
    )
    state = store.place(batch) / "state.db"
    if state.exists() and state.stat().st_size:
        for result in Results(state).iter_all():
            del unseen[result.job_id]
            yield result
    for job_id in unseen:
        yield JobResult(job_id, status=JobStatus.PENDING, model=batch.model or "")


def _write_line(file: BinaryIO, batch: BatchRecord, number: int, result: JobResult) -> None:
    said = _anthropic(batch, result) if batch.vendor == "anthropic" else _openai(batch, result)
    line = {"custom_id": result.job_id, **said}
    if batch.vendor == "openai":
        line = {"id": f"batch_req_{batch.id[-24:]}_{number}", **line}
    file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _openai(batch: BatchRecord, result: JobResult) -> Wire:
    status, body = _answer(batch, result)
    if body is None:
        code, message = _late(batch, result)
        return {"response": None, "error": {"code": code, "message": message}}
    found = {"status_code": status, "request_id": result.request_id or "", "body": body}
    return {"response": found, "error": None}


def _anthropic(batch: BatchRecord, result: JobResult) -> Wire:
    status, body = _answer(batch, result)
    if body is not None and status == 200:
        return {"result": {"type": "succeeded", "message": body}}
    if body is None:
        code, message = _late(batch, result)
        if code in ("batch_expired", "batch_cancelled"):
            kind = "expired" if code == "batch_expired" else "canceled"
            return {"result": {"type": kind}}
        error = VendorError(status=500, message=message, code=code)
        body = _one_line(error.body("anthropic", result.request_id))
    return {"result": {"type": "errored", "error": body}}


def _answer(batch: BatchRecord, result: JobResult) -> tuple[int, orjson.Fragment | None]:
    """Status and body of the server's answer; no body if it gave none."""
    if result.status is JobStatus.SUCCEEDED:
        return 200, _one_line((result.raw_response or "null").encode())
    refusal = batch.refusal if batch.ending == "completed" else None
    if result.status is JobStatus.FAILED:
        refusal = result.error
    found = _SAID.fullmatch(refusal or "")
    if found is None:
        return 0, None
    status, body = int(found[1]), found[2].encode()
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        body = VendorError(status=status, message=found[2][:1000]).body(batch.vendor)
    return status, _one_line(body)


def _one_line(body: bytes) -> orjson.Fragment:
    """JSON as it came, without line breaks between its tokens: each result is one line."""
    return orjson.Fragment(body.replace(b"\n", b" ").replace(b"\r", b" "))


def _late(batch: BatchRecord, result: JobResult) -> tuple[str, str]:
    if result.status is JobStatus.FAILED:
        return str(result.reason or "failed"), result.error or "there is no answer"
    if batch.ending in LATE:
        return LATE[batch.ending]
    return "not_executed", "This request was not executed."


def _count(counts: Counts, batch: BatchRecord, result: JobResult) -> None:
    if result.status is JobStatus.SUCCEEDED:
        counts.succeeded += 1
    elif result.status is JobStatus.FAILED or batch.ending not in LATE:
        counts.errored += 1
    elif batch.ending == "expired":
        counts.expired += 1
    else:
        counts.cancelled += 1


def _file(
    store: BatchStore, batch: BatchRecord, path: Path, kind: str, lines: int
) -> KeptFile | None:
    if not lines:
        path.unlink()
        return None
    now = store.now()
    seconds = batch.output_seconds or BATCH_DAYS * DAY
    return KeptFile(
        id=path.stem,
        path=path,
        filename=f"{batch.id}_{kind}.jsonl",
        purpose="batch_output",
        size=path.stat().st_size,
        lines=lines,
        created_at=now,
        expires_at=now + seconds,
        owner=batch.owner,
    )


class _Usage:
    def __init__(self) -> None:
        self.total = TokenUsage()

    def add(self, result: JobResult) -> None:
        old = self.total
        self.total = TokenUsage(
            input_tokens=old.input_tokens + result.input_tokens,
            output_tokens=old.output_tokens + result.output_tokens,
            cached_tokens=old.cached_tokens + result.cache_read_tokens,
            reasoning_tokens=old.reasoning_tokens + result.reasoning_tokens,
        )


class _Table:
    """The results as Parquet, if pyarrow is installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[JobResult] = []
        self._parts: ParquetParts | None = None

    def __enter__(self) -> _Table:
        if find_spec("pyarrow") is not None:
            if self._folder.exists():  # left by a process killed while writing them
                shutil.rmtree(self._folder)
            self._folder.mkdir()
            sync_folder(self._folder.parent)
            self._parts = ParquetParts(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._parts is not None:
            self._parts.write(self._rows)
            self._parts.flush()
            self._parts.close()

    def add(self, result: JobResult) -> None:
        if self._parts is None:
            return
        found = _SAID.fullmatch(result.error or "")
        if found:
            _, said = error_words(found[2].encode())
            result = replace(result, error=f"{found[1]}: {said}")
        self._rows.append(result)
        if len(self._rows) >= _GROUP:
            self._parts.write(self._rows)
            self._rows.clear()
