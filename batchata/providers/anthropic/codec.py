"""Jobs in Anthropic's words: messages. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from batchata.core.bounds import input_bound, output_bound, web_search_bound
from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.result import Answer, Failure
from batchata.core.submission import Shape
from batchata.ports import Encoded
from batchata.providers.anthropic.decode import decode_message
from batchata.providers.encoding import (
    AskedSchema,
    asked_schema,
    base64_text,
    document_sizes,
    dump,
)

MESSAGES: Final = "/v1/messages"
#: pinned, so that an update of the SDK does not change what is sent.
#: Source: Anthropic API reference, Versioning
VERSION: Final = "2026-10-21"
#: the last version that takes temperature, top_p and top_k, for the models that still have them
SAMPLING_VERSION: Final = "2023-06-01"
_SAMPLING: Final = ("temperature", "top_p", "top_k")
_SAMPLING_MODELS: Final = re.compile(
    r"claude-(?:[23]\b|3-|instant|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:-\d{8})?\Z)"
)
_BANNED: Final = {
    "stream": "a batch cannot stream",
    "store": "a batch cannot store threads",
    "speed": 'batches have no fast speed, leave "speed" out',
}


class AnthropicCodec:
    """Job to request body and answer body to Answer."""

    def __init__(self) -> None:
        self._schemas: dict[int, tuple[Any, AskedSchema]] = {}

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as the vendor's request body; ValidationError when it cannot be said."""
        if job.endpoint not in (None, "messages", MESSAGES):
            raise ValidationError(
                f"Anthropic has no endpoint {job.endpoint!r}",
                hint='leave endpoint out, or "messages"',
            )
        schema = self._schema(job)
        body = self._body(job, model, documents, schema)
        version = _version(model, body)
        data = dump(body, job)
        return Encoded(
            shape=Shape(
                provider="anthropic",
                endpoint=MESSAGES,
                model=model,
                wire_version=version,
                schema=schema.source if schema else None,
                schema_name=schema.wire.name if schema else None,
                citations=job.enable_citations,
            ),
            body=data,
            input_bound=input_bound(
                data, body, provider="anthropic", sizes=document_sizes(documents)
            ),
            output_bound=output_bound(body["max_tokens"]),
            web_searches=web_search_bound(body),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer body in our words."""
        return decode_message(body, forced_tool=shape.schema_name)

    def _schema(self, job: Job) -> AskedSchema | None:
        source = job.response_model or job.response_schema
        if source is None:
            return None
        known = self._schemas.get(id(source))
        if known is None or known[0] is not source:
            known = (source, asked_schema(source, dialect="anthropic"))
            self._schemas[id(source)] = known
        return known[1]

    def _body(
        self, job: Job, model: str, documents: Sequence[Document], schema: AskedSchema | None
    ) -> dict[str, Any]:
        params = dict(job.params)
        max_tokens = params.pop("max_tokens", job.max_tokens)
        if not isinstance(max_tokens, int) or max_tokens < 1:
            raise ValidationError(
                f"max_tokens is {max_tokens!r}: Anthropic needs a number of at least 1",
                hint="write max_tokens=1000",
            )
        system, messages = _split_system(job)
        if not messages:
            messages = [{"role": "user", "content": _content(job, documents)}]
        if "system" in params:
            system = _joined_system(system, params.pop("system"))
        body: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "messages": messages}
        if system:
            body["system"] = system
        if job.temperature is not None:
            body["temperature"] = job.temperature
        effort = params.pop("reasoning_effort", None)
        config = dict(params.pop("output_config", {}))
        if effort is not None:
            config.setdefault("effort", effort)
        if schema is not None:
            if job.enable_citations:
                raise ValidationError(
                    "Anthropic answers with citations or with a schema, not with both",
                    hint="leave out enable_citations or response_model",
                )
            config["format"] = {"type": "json_schema", "schema": schema.wire.schema}
        if config:
            body["output_config"] = config
        body.update(params)
        return body


def _version(model: str, body: dict[str, Any]) -> str:
    for name, why in _BANNED.items():
        if name in body:
            raise ValidationError(f"{name!r} cannot be used: {why}", hint=f"leave out {name}")
    sampling = [name for name in _SAMPLING if name in body]
    if not sampling:
        return VERSION
    if _SAMPLING_MODELS.match(model):
        return SAMPLING_VERSION
    raise ValidationError(
        f"{model!r} takes no {sampling[0]}: its vendor removed sampling parameters",
        hint=f"leave out {', '.join(sampling)} (for one job among others: {sampling[0]}=None)",
    )


def _split_system(job: Job) -> tuple[Any, list[Any]]:
    system: Any = None
    messages: list[Any] = []
    for message in job.messages or ():
        if message.get("role") in ("system", "developer"):
            system = _joined_system(system, message.get("content"))
        else:
            messages.append(message)
    if job.messages is not None and not messages:
        raise ValidationError(
            "messages has only system messages", hint='add {"role": "user", "content": "..."}'
        )
    return system, messages


def _joined_system(first: Any, second: Any) -> Any:
    if not first:
        return second
    if not second:
        return first
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_as_blocks(first), *_as_blocks(second)]


def _as_blocks(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _content(job: Job, documents: Sequence[Document]) -> Any:
    if not documents:
        return job.prompt
    blocks = [_block(document, citations=job.enable_citations) for document in documents]
    return [*blocks, {"type": "text", "text": job.prompt}]


def _block(document: Document, *, citations: bool) -> dict[str, Any]:
    if document.kind == "image":
        return {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": document.media_type,
                "data": base64_text(document),
            },
        }
    if document.kind == "text":
        source = {"type": "text", "media_type": "text/plain", "data": document.text}
    else:
        source = {
            "type": "base64",
            "media_type": document.media_type,
            "data": base64_text(document),
        }
    block: dict[str, Any] = {"type": "document", "source": source, "title": document.name}
    if citations:
        block["citations"] = {"enabled": True}
    return block
