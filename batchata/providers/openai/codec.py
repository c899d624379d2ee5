"""Jobs as OpenAI's chat completions, responses and embeddings, and the answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from batchata.core.bounds import dearer_tier, input_bound, output_bound, speaks
from batchata.core.document import Accepts, Document
from batchata.core.errors import ValidationError
from batchata.core.job import Job, Structured
from batchata.core.request_tools import web_search_bound
from batchata.core.result import Answer, Failure
from batchata.core.submission import Shape
from batchata.ports import Encoded
from batchata.providers.encoding import (
    attachments_of,
    bound_cap,
    cap,
    check_params,
    document_sizes,
    dump,
)
from batchata.providers.openai.blocks import (
    ACCEPTS,
    IMAGES_ONLY,
    chat_parts,
    check_images_only,
    response_parts,
)
from batchata.providers.openai.decode import decode_body
from batchata.providers.profiles import OPENAI, Profile
from batchata.providers.structured import (
    AskedSchema,
    AskedSchemas,
    schema_words,
    tool_description,
    with_turns,
)

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
_MODES: Final[dict[str, Structured]] = {
    "json_schema": "native",
    "json_object": "prompt",
    "tool": "tool",
    "prompt": "prompt",
}
#: parameters that are read, or get something more
_MAPPINGS: Final = frozenset({"text"})
_CHAT_CAPS: Final = frozenset({"max_completion_tokens", "max_tokens"})
_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class OpenAICodec:
    """Job to request body and answer body to Answer, in one vendor's dialect."""

    def __init__(self, profile: Profile = OPENAI) -> None:
        self._profile = profile
        self.accepts: Accepts = ACCEPTS if profile.takes_files else IMAGES_ONLY
        self._schemas = AskedSchemas("openai", is_strict=profile.is_strict)
        self._writers: dict[str, _Writer] = {CHAT: _chat, RESPONSES: _response}

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as the vendor's request body; ValidationError when it cannot be said."""
        profile = self._profile
        endpoint = endpoint_of(job, model, profile)
        check_params(job, _MAPPINGS)
        schema = self._schemas.of(job, job.structured or _MODES[profile.structured])
        if not profile.takes_files:
            check_images_only(documents, profile.title)
        write = self._writers.get(endpoint, _embedding)
        body = write(_Asked(job, model, documents, schema, profile))
        if "stream" in body:
            raise ValidationError(
                "'stream' cannot be used in bulk work", hint="leave stream out of the parameters"
            )
        data = dump(body, job)
        most = 0
        if endpoint != EMBEDDINGS:
            most = output_bound(bound_cap(job, _CAPS, MODEL_MOST), job.params.get("n") or 1, body)
        return Encoded(
            shape=Shape(
                provider=profile.name,
                endpoint=endpoint,
                model=model,
                schema=schema.source if schema else None,
                schema_name=schema.wire.name if schema else None,
                citations=job.enable_citations,
                quotes=job.verify_quotes,
            ),
            body=data,
            input_bound=input_bound(
                data, body, provider=profile.name, sizes=document_sizes(documents)
            ),
            output_bound=most,
            web_searches=web_search_bound(body),
            speaks=speaks(body),
            dearer_tier=dearer_tier(body),
            attachments=attachments_of(documents),
        )

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer body in our words."""
        return decode_body(shape.endpoint, body, tool=shape.schema_name)

    def with_errors(self, shape: Shape, body: bytes, answer: str, errors: Sequence[str]) -> bytes:
        """The request again, with the answer that was refused and why."""
        name = "input" if shape.endpoint == RESPONSES else "messages"
        return with_turns(body, name, answer, errors)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request body is made of."""

    job: Job
    model: str
    documents: Sequence[Document]
    schema: AskedSchema | None
    profile: Profile


_Writer = Callable[[_Asked], dict[str, Any]]


def _chat(asked: _Asked) -> dict[str, Any]:
    job, schema, profile = asked.job, asked.schema, asked.profile
    messages: list[Any] = list(job.messages or ())
    if not messages:
        content = _content(job.prompt or "", chat_parts(asked.documents), "text")
        messages.append({"role": "user", "content": content})
    params = dict(job.params)
    system = params.pop("system", None)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    body: dict[str, Any] = {"model": asked.model, "messages": messages}
    if _CHAT_CAPS.isdisjoint(params):
        _put(body, profile.token_field, job.max_tokens)
    _put(body, "temperature", job.temperature)
    if schema is not None:
        _ask_chat(body, schema, params, profile)
        if job.structured is None and profile.structured == "json_object":
            body["response_format"] = {"type": "json_object"}
        body.update(profile.schema_extras)
    body.update(params)
    return body


def _ask_chat(
    body: dict[str, Any], schema: AskedSchema, params: dict[str, Any], profile: Profile
) -> None:
    """Ask in a chat completion for an answer that fits this schema."""
    name, wanted = schema.wire.name, schema.wire.schema
    if schema.mode == "native":
        format_: dict[str, Any] = {"name": name, "schema": wanted}
        if profile.is_strict:
            format_["strict"] = True
        body["response_format"] = {"type": "json_schema", "json_schema": format_}
        if profile.says_schema:
            _say_schema(body, schema)
    elif schema.mode == "tool":
        function = {"name": name, "description": tool_description(schema), "parameters": wanted}
        tools = params.pop("tools", None) or ()
        body["tools"] = [*tools, {"type": "function", "function": function}]
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    else:
        _say_schema(body, schema)


def _say_schema(body: dict[str, Any], schema: AskedSchema) -> None:
    first, *rest = body["messages"]
    if first.get("role") in ("system", "developer") and isinstance(first.get("content"), str):
        words = f"{first['content']}\n\n{schema_words(schema)}"
        body["messages"] = [{**first, "content": words}, *rest]
    else:
        body["messages"].insert(0, {"role": "system", "content": schema_words(schema)})


def _response(asked: _Asked) -> dict[str, Any]:
    job, schema = asked.job, asked.schema
    params = dict(job.params)
    body: dict[str, Any] = {"model": asked.model}
    if "input" not in params:
        body["input"] = _input(job, asked.documents)
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
    body.update(params)
    if schema is not None:
        _ask_response(body, schema, asked.profile)
    return body


def _ask_response(body: dict[str, Any], schema: AskedSchema, profile: Profile) -> None:
    """Ask in a responses request for an answer that fits this schema."""
    name, wanted = schema.wire.name, schema.wire.schema
    if schema.mode == "native":
        format_: dict[str, Any] = {"type": "json_schema", "name": name, "schema": wanted}
        if profile.is_strict:
            format_["strict"] = True
        body["text"] = {**body.get("text", {}), "format": format_}
    elif schema.mode == "tool":
        tool = {
            "type": "function",
            "name": name,
            "description": tool_description(schema),
            "parameters": wanted,
            "strict": False,
        }
        body["tools"] = [*(body.get("tools") or ()), tool]
        body["tool_choice"] = {"type": "function", "name": name}
    else:
        said = body.get("instructions")
        words = schema_words(schema)
        body["instructions"] = f"{said}\n\n{words}" if said else words


def _input(job: Job, documents: Sequence[Document]) -> Any:
    if job.messages is not None:
        return list(job.messages)
    if not documents:
        return job.prompt
    parts = response_parts(documents)
    return [{"role": "user", "content": [*parts, {"type": "input_text", "text": job.prompt}]}]


def _embedding(asked: _Asked) -> dict[str, Any]:
    job = asked.job
    if job.messages is not None or asked.documents or asked.schema is not None:
        raise ValidationError(
            f"{asked.model!r} makes embeddings: it takes a prompt only",
            hint='write add_job(prompt="the text", model=...) or input=[...]',
        )
    body: dict[str, Any] = {"model": asked.model}
    if "input" not in job.params:
        body["input"] = job.prompt
    body.update(job.params)
    return body


def endpoint_of(job: Job, model: str, profile: Profile = OPENAI) -> str:
    """Path of the endpoint a job goes to; ValidationError for one that the vendor does not have."""
    if job.endpoint is None:
        return EMBEDDINGS if model.startswith("text-embedding") else CHAT
    endpoint = _ENDPOINTS.get(job.endpoint)
    if endpoint not in [_ENDPOINTS[name] for name in profile.endpoints]:
        named = " or ".join(f'"{name}"' for name in profile.endpoints)
        raise ValidationError(
            f"{profile.title} has no endpoint {job.endpoint!r} here",
            hint=f"use endpoint={named}",
        )
    return str(endpoint)


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        body[name] = value


def _content(prompt: str, parts: list[dict[str, Any]], kind: str) -> Any:
    return [*parts, {"type": kind, "text": prompt}] if parts else prompt
