"""Requests that somebody else has written: they are sent, and answered, as they are."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from batchata.core.bounds import (
    answers_asked,
    dearer_tier,
    input_bound,
    output_bound,
    output_cap,
    price_factor,
    speaks,
)
from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.request_tools import web_search_bound
from batchata.core.result import Answer, Failure
from batchata.core.submission import Shape
from batchata.ports import BackgroundAPI, BatchAPI, Codec, Encoded, FilesAPI, LiveAPI, Provider
from batchata.providers.openai.codec import CHAT, EMBEDDINGS, MODEL_MOST, RESPONSES

ENDPOINTS: Final = (CHAT, RESPONSES, EMBEDDINGS)


class _Line(msgspec.Struct):
    custom_id: str
    url: str
    body: msgspec.Raw
    method: str = "POST"


class _Head(msgspec.Struct):
    model: str


_line = msgspec.json.Decoder(_Line).decode
_head = msgspec.json.Decoder(_Head).decode


@dataclass(frozen=True, slots=True)
class RawJob(Job):
    """A job whose request somebody else has written: it is sent as it is."""

    body: bytes = field(default=b"{}", kw_only=True)

    def __post_init__(self) -> None:
        """Nothing is checked: the question is the server's to read."""


def read_requests(
    path: Path, provider: str, endpoints: Sequence[str] = ENDPOINTS
) -> Iterator[RawJob]:
    """A job for each line of an input file; ValidationError for one that is none."""
    is_empty = True
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                is_empty = False
                yield _job(line, f"{path.name} line {number}", provider, endpoints)
    if is_empty:
        raise ValidationError(f"{path} has no requests", hint="each line of it is one")


def _job(line: bytes, where: str, provider: str, endpoints: Sequence[str]) -> RawJob:
    try:
        said = _line(line)
        body = bytes(said.body)
        model = _head(body).model
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValidationError(
            f"{where} is not a request: {error}",
            hint='write {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", '
            '"body": {"model": ..., "messages": [...]}}',
        ) from error
    if said.url not in endpoints or said.method != "POST":
        raise ValidationError(
            f"{where} asks for {said.method} {said.url}", hint=f"POST {', '.join(endpoints)}"
        )
    return RawJob(said.custom_id, f"{provider}:{model}", endpoint=said.url, body=body)


class BodyCodec:
    """Requests and answers as they are; only what was used is read of an answer."""

    with_errors = None

    def __init__(self, inner: Codec, provider: str) -> None:
        self._inner = inner
        self._provider = provider
        self.accepts = inner.accepts

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The body that the job brings, and the most that it can use."""
        if not isinstance(job, RawJob):
            raise ValidationError(f"job {job.id!r} brings no request of its own")
        said: dict[str, Any] = orjson.loads(job.body)
        if said.get("stream"):
            raise ValidationError(
                f"{job.id!r} asks for a stream", hint="leave stream out: the file takes answers"
            )
        endpoint, most = job.endpoint or CHAT, 0
        try:
            if endpoint != EMBEDDINGS:
                cap = output_cap(endpoint, said)
                most = output_bound(MODEL_MOST if cap is None else cap, answers_asked(said), said)
            read = input_bound(job.body, said, provider=self._provider)
            searches, is_spoken = web_search_bound(said), speaks(said)
        except (TypeError, AttributeError) as error:
            raise ValidationError(
                f"the body of {job.id!r} has a field of a wrong type: {error}",
                hint="no server takes such a body: mend the line",
            ) from error
        return Encoded(
            shape=Shape(provider=self._provider, endpoint=endpoint, model=model),
            body=job.body,
            input_bound=read,
            output_bound=most,
            web_searches=searches,
            speaks=is_spoken,
            dearer_tier=dearer_tier(said),
            price_factor=price_factor(said),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The whole body as the answer's text, with all that its price is told by."""
        answer = self._inner.decode(shape, body)
        if isinstance(answer, Failure):
            return answer
        return Answer(
            text=bytes(body).decode("utf-8", "replace"),
            finish_reason="stop",
            usage=answer.usage,
            service_tier=answer.service_tier,
            price_factor=answer.price_factor,
            cost_usd=answer.cost_usd,
        )


class FileProvider:
    """A provider whose requests and answers are left as they are."""

    def __init__(self, inner: Provider) -> None:
        self.name = inner.name
        self.codec: Codec = BodyCodec(inner.codec, inner.name)
        self.batch: BatchAPI | None = inner.batch
        self.live: LiveAPI | None = inner.live
        self.background: BackgroundAPI | None = None
        self.files: FilesAPI | None = None
        self._inner = inner

    async def aclose(self) -> None:
        """Close connections."""
        await self._inner.aclose()
