"""Jobs in OpenAI's words: chat completions, responses and embeddings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from batchata.core.bounds import input_bound, output_bound, web_search_bound
from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.result import Answer, Failure
from batchata.core.submission import Shape
from batchata.ports import Encoded
from batchata.providers.encoding import (
    AskedSchema,
    asked_schema,
    bound_cap,
    cap,
    data_url,
    document_sizes,
    dump,
    labelled,
)
from batchata.providers.openai.decode import decode_body

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
EMBEDDINGS: Final = "/v1/embeddings"
_ENDPOINTS: Final = {
    "chat": CHAT,
    "responses": RESPONSES,
    "embeddings": EMBEDDINGS,
    CHAT: CHAT,
    RESPONSES: RESPONSES,
    EMBEDDINGS: EMBEDDINGS,
}
#: the most that any current model writes when no cap is named
MODEL_MOST: Final = 128_000
_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class OpenAICodec:
    """Job to request body and answer body to Answer."""

    def __init__(self) -> None:
        self._schemas: dict[int, tuple[Any, AskedSchema]] = {}
        self._writers: dict[str, Callable[[Job, str, Sequence[Document]], dict[str, Any]]] = {
            CHAT: self._chat,
            RESPONSES: self._response,
            EMBEDDINGS: self._embedding,
        }

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as the vendor's request body; ValidationError when it cannot be said."""
        endpoint = endpoint_of(job, model)
        schema = self._schema(job)
        body = self._writers[endpoint](job, model, documents)
        if "stream" in body:
            raise ValidationError(
                "'stream' cannot be used in bulk work", hint="leave stream out of the parameters"
            )
        data = dump(body, job)
        most = 0
        if endpoint != EMBEDDINGS:
            most = output_bound(bound_cap(job, _CAPS, MODEL_MOST), int(job.params.get("n") or 1))
        return Encoded(
            shape=Shape(
                provider="openai",
                endpoint=endpoint,
                model=model,
                schema=schema.source if schema else None,
                schema_name=schema.wire.name if schema else None,
                citations=job.enable_citations,
            ),
            body=data,
            input_bound=input_bound(data, body, provider="openai", sizes=document_sizes(documents)),
            output_bound=most,
            web_searches=web_search_bound(body),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer body in our words."""
        return decode_body(shape.endpoint, body)

    def _schema(self, job: Job) -> AskedSchema | None:
        source = job.response_model or job.response_schema
        if source is None:
            return None
        known = self._schemas.get(id(source))
        if known is None or known[0] is not source:
            known = (source, asked_schema(source, dialect="openai"))
            self._schemas[id(source)] = known
        return known[1]

    def _chat(self, job: Job, model: str, documents: Sequence[Document]) -> dict[str, Any]:
        messages: list[Any] = list(job.messages or ())
        if not messages:
            content = _content(job.prompt or "", [_chat_part(each) for each in documents], "text")
            messages.append({"role": "user", "content": content})
        params = dict(job.params)
        system = params.pop("system", None)
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        body: dict[str, Any] = {"model": model, "messages": messages}
        if not any(name in params for name in ("max_completion_tokens", "max_tokens")):
            _put(body, "max_completion_tokens", job.max_tokens)
        _put(body, "temperature", job.temperature)
        if (schema := self._schema(job)) is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {
                    "name": schema.wire.name,
                    "schema": schema.wire.schema,
                    "strict": True,
                },
            }
        body.update(params)
        return body

    def _response(self, job: Job, model: str, documents: Sequence[Document]) -> dict[str, Any]:
        params = dict(job.params)
        body: dict[str, Any] = {"model": model}
        if "input" not in params:
            body["input"] = self._input(job, documents)
        system = params.pop("system", None)
        if system is not None and "instructions" not in params:
            body["instructions"] = system
        if "max_output_tokens" not in params:
            _put(body, "max_output_tokens", cap(job, _CAPS))
        for name in ("max_tokens", "max_completion_tokens"):
            params.pop(name, None)
        _put(body, "temperature", job.temperature)
        effort = params.pop("reasoning_effort", None)
        if effort is not None and "reasoning" not in params:
            body["reasoning"] = {"effort": effort}
        if (schema := self._schema(job)) is not None:
            text = dict(params.pop("text", {}))
            text["format"] = {
                "type": "json_schema",
                "name": schema.wire.name,
                "schema": schema.wire.schema,
                "strict": True,
            }
            body["text"] = text
        body.update(params)
        return body

    def _input(self, job: Job, documents: Sequence[Document]) -> Any:
        if job.messages is not None:
            return list(job.messages)
        if not documents:
            return job.prompt
        parts = [_response_part(each) for each in documents]
        return [{"role": "user", "content": [*parts, {"type": "input_text", "text": job.prompt}]}]

    def _embedding(self, job: Job, model: str, documents: Sequence[Document]) -> dict[str, Any]:
        if job.messages is not None or documents or self._schema(job) is not None:
            raise ValidationError(
                f"{model!r} makes embeddings: it takes a prompt only",
                hint='write add_job(prompt="the text", model=...) or input=[...]',
            )
        body: dict[str, Any] = {"model": model}
        if "input" not in job.params:
            body["input"] = job.prompt
        body.update(job.params)
        return body


def endpoint_of(job: Job, model: str) -> str:
    """Path of the endpoint a job goes to; ValidationError for one that batches do not have."""
    if job.endpoint is None:
        return EMBEDDINGS if model.startswith("text-embedding") else CHAT
    endpoint = _ENDPOINTS.get(job.endpoint)
    if endpoint is None:
        raise ValidationError(
            f"OpenAI has no endpoint {job.endpoint!r} here",
            hint='use endpoint="chat", "responses" or "embeddings"',
        )
    return endpoint


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        body[name] = value


def _content(prompt: str, parts: list[dict[str, Any]], kind: str) -> Any:
    return [*parts, {"type": kind, "text": prompt}] if parts else prompt


def _chat_part(document: Document) -> dict[str, Any]:
    if document.kind == "text":
        return {"type": "text", "text": labelled(document)}
    if document.kind == "image":
        return {"type": "image_url", "image_url": {"url": data_url(document)}}
    return {
        "type": "file",
        "file": {"filename": document.name, "file_data": data_url(document)},
    }


def _response_part(document: Document) -> dict[str, Any]:
    if document.kind == "text":
        return {"type": "input_text", "text": labelled(document)}
    if document.kind == "image":
        return {"type": "input_image", "image_url": data_url(document), "detail": "auto"}
    return {
        "type": "input_file",
        "filename": document.name,
        "file_data": data_url(document),
    }
