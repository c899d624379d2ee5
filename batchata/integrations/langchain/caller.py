"""A chain as a vendor with live calls only, so that a run can ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from batchata.core.document import Accepts, Document
from batchata.core.job import Job
from batchata.core.logged import to_json
from batchata.core.pacing import Quota
from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.integrations.langchain.asking import NAME, Asked
from batchata.integrations.langchain.serialization import serialized, text_of
from batchata.ports import Encoded, LiveReply
from batchata.providers.control import ProviderSettings
from batchata.providers.registry import register

#: what most models write when no cap is named
_MODEL_MOST = 128_000
#: tokens that stand around a prompt
_AROUND = 1000
_MOST_THREADS = 1000


class Caller:
    """The provider: a row goes out as its job's id, and the chain's output comes back as JSON."""

    name = NAME
    batch = None
    background = None
    files = None
    accepts = Accepts()
    with_errors = None
    request_bytes = None

    def __init__(self, asked: Asked, threads: int) -> None:
        self._asked = asked
        self._pool = ThreadPoolExecutor(min(threads, _MOST_THREADS), "batchata-langchain")
        self.codec = self
        self.live = self

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The row by the id of its job, and the most that it may cost where prices are known."""
        most = Usage(len(job.params["input"].encode()) + _AROUND, job.max_tokens or _MODEL_MOST)
        card = self._asked.card()
        return Encoded(
            shape=Shape(provider=NAME, endpoint="invoke", model=model),
            body=orjson.dumps({"id": job.id}),
            input_bound=most.input_tokens,
            output_bound=most.output_tokens,
            cost_bound_usd=Decimal(0) if card is None else card.cost_usd(most),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The chain's output, and what it used."""
        said = orjson.loads(bytes(body))
        return Answer(
            text=said["text"],
            finish_reason="stop",
            usage=Usage(*said["usage"]) if said["usage"] else None,
            cost_usd=Decimal(said["cost_usd"]),
            model=shape.model,
            extra={"output": said["output"]},
        )

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask about one row, in a thread."""
        work = copy_context().run
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work, self._call, orjson.loads(body)["id"])

    async def aclose(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False)

    def _call(self, job_id: str) -> LiveReply:
        called = self._asked.call(job_id)
        if called.error is not None:
            return failed(called.error, called.usage, called.cost_usd)
        said = {
            "output": serialized(called.output),
            "text": text_of(called.output),
            "usage": None if called.usage is None else msgspec.structs.astuple(called.usage),
            "cost_usd": str(called.cost_usd),
        }
        return LiveReply(quota=Quota(), body=to_json(said))


def failed(error: Exception, usage: Usage | None, cost_usd: Decimal) -> LiveReply:
    """What an error of a chain or of a vendor's SDK means for its row."""
    found = getattr(error, "status_code", None)
    status = found if isinstance(found, int) else None
    reason = _reason_of_status(error, status) if status is not None else _reason(error, usage)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    wait = str(headers.get("retry-after") or "")
    return LiveReply(
        quota=Quota(retry_after_seconds=float(wait) if wait.isdigit() else None),
        failure=Failure(
            reason,
            f"{type(error).__name__}: {error}",
            code=str(code) if (code := getattr(error, "code", None)) else None,
            status=status,
            request_id=getattr(error, "request_id", None),
            cost_usd=cost_usd if usage is not None else None,
        ),
        is_congested=reason in (Reason.RATE_LIMITED, Reason.OVERLOADED),
    )


def _reason_of_status(error: Exception, status: int) -> Reason:
    if status in (401, 402, 403) or getattr(error, "code", None) == "insufficient_quota":
        return Reason.ACCOUNT
    if status in (429, 529):
        return Reason.RATE_LIMITED if status == 429 else Reason.OVERLOADED
    is_theirs = status in (408, 409) or status >= 500
    return Reason.SERVER_ERROR if is_theirs else Reason.INVALID_REQUEST


def _reason(error: Exception, usage: Usage | None) -> Reason:
    if usage is not None:  # a model answered, and the rest of the chain could do nothing with it
        return Reason.INVALID_ANSWER
    if isinstance(error, TimeoutError) or type(error).__name__ == "APITimeoutError":
        return Reason.OUTCOME_UNKNOWN
    if isinstance(error, OSError) or type(error).__name__ == "APIConnectionError":
        return Reason.SERVER_ERROR
    return Reason.BAD_INPUT


def _create(settings: ProviderSettings) -> Any:
    asked, threads = settings.client
    return Caller(asked, threads)


register(NAME, _create)
