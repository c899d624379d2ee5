"""A vendor's language of the simplest kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from batchata.core.document import Accepts, Document, attachment_of
from batchata.core.errors import ValidationError
from batchata.core.job import DEFAULT_MAX_TOKENS, Job
from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.core.usage import Usage
from batchata.ports import Encoded

ENDPOINT = "/fake"


class FakeCodec:
    """Requests are `{"model", "prompt", "max_tokens", …}`, answers `{"text", "usage", …}`."""

    accepts: Accepts = Accepts()

    def __init__(self, provider: str = "fake") -> None:
        self.provider = provider

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as JSON; ValidationError when it cannot be said."""
        most = DEFAULT_MAX_TOKENS if job.max_tokens is None else job.max_tokens
        body: dict[str, Any] = {"model": model, "max_tokens": most, "prompt": _said(job)}
        body.update(job.params)
        if documents:
            body["documents"] = [document.marker for document in documents]
        try:
            data = orjson.dumps(body)
        except (TypeError, ValueError) as error:
            raise ValidationError(
                f"the job cannot be sent as JSON: {error}", hint="use text, numbers and lists"
            ) from error
        return Encoded(
            shape=Shape(provider=self.provider, endpoint=ENDPOINT, model=model),
            body=data,
            input_bound=len(data),
            output_bound=most,
            attachments=tuple(found for found in map(attachment_of, documents) if found),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer in our words."""
        try:
            said = msgspec.json.decode(body, type=_Said)
        except msgspec.DecodeError as error:
            return Failure(Reason.UNREADABLE, f"the answer cannot be read: {error}")
        return Answer(
            text=said.text,
            finish_reason=said.finish,
            usage=Usage(*said.usage) if said.usage else None,
            model=shape.model,
        )

    def with_errors(self, shape: Shape, body: bytes, answer: str, errors: Sequence[str]) -> bytes:
        """The request again, with the answer that was refused and why."""
        asked = orjson.loads(body)
        return orjson.dumps({**asked, "prompt": "\n".join([asked["prompt"], answer, *errors])})


class _Said(msgspec.Struct):
    text: str
    usage: tuple[int, int] | None = None
    finish: str = "stop"


def answer_body(text: str, usage: tuple[int, int] | None = (5, 2), finish: str = "stop") -> bytes:
    """An answer as the fake vendor writes it."""
    return msgspec.json.encode(_Said(text, usage, finish))


def _said(job: Job) -> str:
    if job.prompt is not None:
        return job.prompt
    return "\n".join(str(message.get("content")) for message in job.messages or ())
