"""A plug-in's six methods as the engine needs them: a codec and a batch API."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from batchata.core.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderRejectedError,
    ProviderUnavailableError,
)
from batchata.core.job import safe_name
from batchata.core.json_bytes import json_bytes
from batchata.core.result import Failure, JobResult, Reason
from batchata.core.status import RemoteState
from batchata.core.submission import BatchLimits, RequestCounts, Shape, Submission
from batchata.disk.atomic import atomic_file
from batchata.ports import BatchLook, CannotTell, Item, Lookup
from batchata.providers.control import call
from batchata.providers.plugin_codec import PluginCodec, SeenJobs
from batchata.providers.provider import Provider, checked_results

log = logging.getLogger("batchata.providers")

_STATES: Final = {
    "pending": RemoteState.QUEUED,
    "queued": RemoteState.QUEUED,
    "running": RemoteState.RUNNING,
    "cancelling": RemoteState.CANCELLING,
    "complete": RemoteState.COMPLETED,
    "completed": RemoteState.COMPLETED,
    "cancelled": RemoteState.CANCELLED,
    "expired": RemoteState.EXPIRED,
    "failed": RemoteState.FAILED,
}
_MOST_BYTES: Final = 2**40


class AdaptedProvider:
    """A plug-in as a provider of the engine."""

    live = None
    background = None
    files = None

    def __init__(self, name: str, provider: Provider) -> None:
        self.name = name
        self._provider = provider
        seen = SeenJobs() if _takes_jobs(provider.get_batch_results) else None
        self.codec = PluginCodec(name, provider, seen)
        self.batch = AdaptedBatch(name, provider, self.codec, seen)

    async def aclose(self) -> None:
        """Close what the plug-in holds open."""
        await call(self._provider.close)


class AdaptedBatch:
    """The batch endpoint that the six methods make."""

    head, separator, tail = b"", b"\n", b"\n"
    request_suffix = ".jsonl"

    def __init__(
        self, name: str, provider: Provider, codec: PluginCodec, seen: SeenJobs | None
    ) -> None:
        self._name = name
        self._provider = provider
        self._codec = codec
        self._seen = seen
        self.limits = BatchLimits(
            requests=provider.max_batch_requests, size_bytes=_MOST_BYTES, one_model=True
        )
        self.poll_seconds = float(provider.get_polling_interval())

    def group(self, shape: Shape) -> str:
        """One model to a batch."""
        return shape.model

    def custom_id(self, token: str, job_id: str) -> str:
        """The job's own id: results are lines that we write ourselves."""
        return job_id

    def line(self, custom_id: str, shape: Shape, body: bytes) -> bytes:
        """The job with its id."""
        return b'{"id":' + orjson.dumps(custom_id) + b"," + body[1:]

    async def upload(self, submission: Submission, path: Path) -> str | None:
        """Nothing: the jobs travel with the create call."""
        return None

    async def uploaded(self, submission: Submission, path: Path) -> str | None:
        """Nothing was uploaded."""
        return None

    async def create(self, submission: Submission, path: Path) -> str:
        """Hand the jobs to the plug-in; the first of what it returns is the batch's id."""
        jobs = [self._codec.job(line) for line in path.read_bytes().splitlines() if line]
        made = await self._ask(self._provider.create_batch, jobs, creating=True)
        batch_id = made[0] if isinstance(made, tuple) else made
        if not isinstance(batch_id, str) or not batch_id:
            raise OutcomeUnknownError(
                f"create_batch() of {self._name!r} returned {batch_id!r}, not an id",
                hint="return the batch's id as text",
            )
        return batch_id

    async def look(self, remote_id: str) -> BatchLook:
        """The plug-in's status word in ours; an unknown one counts as running."""
        said = await self._ask(self._provider.get_batch_status, remote_id)
        word, details = said if isinstance(said, tuple) else (said, {})
        return read_status(self._name, str(word), details or {})

    async def find(self, submission: Submission, known: frozenset[str]) -> Lookup:
        """The six methods cannot look for a lost batch."""
        return CannotTell(
            f"provider {self._name!r} cannot look for a batch that it may have; "
            'send it again with .set_stop(on_unresolved="resubmit")',
            is_final=True,
        )

    async def download(self, remote_id: str, folder: Path) -> list[Path]:
        """Write the plug-in's results down, whole or not at all."""
        more = () if self._seen is None else (self._seen,)
        found = await self._ask(self._provider.get_batch_results, remote_id, *more)
        path = folder / f"{self._name}_batch_{safe_name(remote_id)}.jsonl"
        with atomic_file(path) as part, part.open("wb") as file:
            file.writelines(_line(each) + b"\n" for each in checked_results(found))
        return [path]

    def items(self, path: Path) -> Iterator[Item]:
        """Answers and failures, line by line."""
        with path.open("rb") as file:
            for line in file:
                row = orjson.loads(line)
                failure = _failure(row) if row["error"] is not None else None
                body = None if failure else msgspec.Raw(line)
                yield Item(row["job_id"], body, failure, row["request_id"])

    async def cancel(self, remote_id: str) -> None:
        """Ask the plug-in to stop the batch."""
        if not await self._ask(self._provider.cancel_batch, remote_id):
            log.info("batch %s of %s was not cancelled", remote_id, self._name)

    async def forget(self, submission: Submission) -> None:
        """Nothing was uploaded."""

    async def _ask(self, method: Callable[..., Any], *args: Any, creating: bool = False) -> Any:
        try:
            return await call(method, *args)
        except (ProviderUnavailableError, ProviderRejectedError):
            raise
        except ProviderError as error:  # neither kind: an answer to a create call, else a hitch
            kind = ProviderRejectedError if creating else ProviderUnavailableError
            raise kind(error.message, hint=error.hint, status=error.status) from error
        except OSError as error:  # of which ConnectionError and TimeoutError are kinds
            kind_of = OutcomeUnknownError if creating else ProviderUnavailableError
            raise kind_of(
                f"provider {self._name!r} cannot be reached: {type(error).__name__}: {error}"
            ) from error


def read_status(name: str, word: str, details: Mapping[str, Any]) -> BatchLook:
    """A plug-in's status in our words; one that failed with answers in it has results."""
    state = _STATES.get(word.lower())
    if state is None:
        log.warning("provider %s says %r of a batch: waiting on", name, word)
        state = RemoteState.RUNNING
    counts = RequestCounts(
        total=_count(details, "total"),
        succeeded=_count(details, "completed"),
        failed=_count(details, "failed"),
    )
    if state is RemoteState.FAILED and counts.done:
        state = RemoteState.COMPLETED
    failure = None
    if state is RemoteState.FAILED:
        said = details.get("error") or details.get("errors") or "no reason was given"
        failure = Failure(Reason.BATCH_FAILED, f"{name} says that the batch failed: {said}")
    return BatchLook(state=state, counts=counts, word=word, failure=failure)


def _count(details: Mapping[str, Any], name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _line(result: JobResult) -> bytes:
    # the exact cost as text, which a JSON number may not hold
    return json_bytes({**result.to_dict(), "cost_usd": str(result.cost_usd)})


def _failure(row: Mapping[str, Any]) -> Failure:
    return Failure(
        reason=Reason(row["reason"] or Reason.INVALID_REQUEST),
        message=str(row["error"]),
        request_id=row["request_id"],
        cost_usd=Decimal(row["cost_usd"]),
    )


def _takes_jobs(method: Callable[..., Any]) -> bool:
    """True when `get_batch_results` takes the jobs as well as the batch's id."""
    places = [
        each
        for each in inspect.signature(method).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return len(places) > 1
