"""Jobs as Anthropic's messages requests, and the answers to them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from batchata.core.bounds import (
    dearer_tier,
    input_bound,
    output_bound,
    price_factor,
)
from batchata.core.citing import labelled_prompt
from batchata.core.document import Accepts, Document
from batchata.core.errors import ValidationError
from batchata.core.job import Job, Structured
from batchata.core.request_tools import web_search_bound
from batchata.core.result import Answer, Failure
from batchata.core.submission import Shape
from batchata.ports import Encoded
from batchata.providers.anthropic.blocks import ACCEPTS, content_blocks
from batchata.providers.anthropic.decode import decode_message
from batchata.providers.encoding import (
    attachments_of,
    check_params,
    check_system,
    document_sizes,
    dump,
)
from batchata.providers.structured import (
    AskedSchema,
    AskedSchemas,
    schema_words,
    tool_description,
    tool_words,
    with_turns,
)

MESSAGES: Final = "/v1/messages"
#: pinned, so that an update of the SDK does not change what is sent.
#: Source: Anthropic API reference, Versioning
VERSION: Final = "2026-10-21"
#: the last version that takes temperature, top_p and top_k, for the models that still have them
SAMPLING_VERSION: Final = "2023-06-01"
_SAMPLING: Final = ("temperature", "top_p", "top_k")
#: parameters that are read, or get something more
_MAPPINGS: Final = frozenset({"output_config", "thinking"})
_SAMPLING_MODELS: Final = re.compile(
    r"claude-(?:[23]\b|3-|instant|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?:-\d{8})?\Z)"
)
#: models without output_config.format: they are given a tool to call instead.
#: Source: Anthropic guides, Structured outputs
_NO_FORMAT: Final = re.compile(
    r"claude-(?:[23]\b|3-|instant|(?:opus|sonnet)-4(?:-[01])?(?:-\d{8})?\Z)"
)
#: models that always think, and so may not be forced to call a tool
_ALWAYS_THINKS: Final = re.compile(r"claude-(?:fable|mythos)-")
_BANNED: Final = {
    "stream": "a batch cannot stream",
    "store": "a batch cannot store threads",
    "speed": 'batches have no fast speed, leave "speed" out',
}


class AnthropicCodec:
    """Job to request body and answer body to Answer."""

    accepts: Accepts = ACCEPTS

    def __init__(self) -> None:
        self._schemas = AskedSchemas("anthropic")
        self._lines: dict[int, tuple[Any, str]] = {}

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The job as the vendor's request body; ValidationError when it cannot be said."""
        if job.endpoint not in (None, "messages", MESSAGES):
            raise ValidationError(
                f"Anthropic has no endpoint {job.endpoint!r}",
                hint='leave endpoint out, or "messages"',
            )
        check_params(job, _MAPPINGS)
        usual: Structured = "tool" if _NO_FORMAT.match(model) else "native"
        if job.enable_citations:  # the vendor refuses a schema beside citations
            usual = "prompt"
        schema = self._schemas.of(job, job.structured or usual)
        body = _body(job, model, documents, schema)
        if schema is not None and job.enable_citations:
            body["system"] = _joined_system(body.get("system"), self._labels(job))
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
                quotes=job.verify_quotes,
            ),
            body=data,
            input_bound=input_bound(
                data, body, provider="anthropic", sizes=document_sizes(documents)
            ),
            output_bound=output_bound(body["max_tokens"]),
            web_searches=web_search_bound(body),
            dearer_tier=dearer_tier(body),
            price_factor=price_factor(body),
            attachments=attachments_of(documents),
        )

    def _labels(self, job: Job) -> str:
        """The words that ask for labelled lines, which keep citations on."""
        source = job.response_model or job.response_schema or {}
        known = self._lines.get(id(source))
        if known is None or known[0] is not source:
            known = self._lines[id(source)] = (source, labelled_prompt(source))
        return known[1]

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The answer body in our words."""
        return decode_message(body, forced_tool=shape.schema_name)

    def with_errors(self, shape: Shape, body: bytes, answer: str, errors: Sequence[str]) -> bytes:
        """The request again, with the answer that was refused and why."""
        return with_turns(body, "messages", answer, errors)


def _body(
    job: Job, model: str, documents: Sequence[Document], schema: AskedSchema | None
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
        messages = [{"role": "user", "content": _content(job, model, documents)}]
    body: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "messages": messages}
    system = _joined_system(system, params.pop("system", None))
    if system:
        body["system"] = system
    if job.temperature is not None:
        body["temperature"] = job.temperature
    effort = params.pop("reasoning_effort", None)
    config = dict(params.pop("output_config", {}))
    if effort is not None:
        config.setdefault("effort", effort)
    if config:
        body["output_config"] = config
    body.update(params)
    if schema is not None:
        _ask(body, schema, is_cited=job.enable_citations)
    return body


def _ask(body: dict[str, Any], schema: AskedSchema, *, is_cited: bool) -> None:
    """Ask for an answer that fits this schema."""
    name = schema.wire.name
    if schema.mode == "prompt" and is_cited:
        return  # asked for as labelled lines
    if schema.mode == "prompt":
        body["system"] = _joined_system(body.get("system"), schema_words(schema))
        return
    if is_cited:
        raise ValidationError(
            "Anthropic answers with citations or with a schema, not with both",
            hint="leave out structured: labelled lines give you both",
        )
    if schema.mode == "native":
        format_ = {"type": "json_schema", "schema": schema.wire.schema}
        body["output_config"] = {**body.get("output_config", {}), "format": format_}
        return
    tool = {
        "name": name,
        "description": tool_description(schema),
        "input_schema": schema.wire.schema,
    }
    body["tools"] = [*(body.get("tools") or ()), tool]
    thinking = (body.get("thinking") or {}).get("type") in ("enabled", "adaptive")
    if thinking or _ALWAYS_THINKS.match(body["model"]):
        body["system"] = _joined_system(body.get("system"), tool_words(name))
        body["tool_choice"] = {"type": "auto"}
    else:
        body["tool_choice"] = {"type": "tool", "name": name}


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
        hint=f"leave out {', '.join(sampling)}, or give it to the jobs of other models only",
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
    check_system(content)
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _content(job: Job, model: str, documents: Sequence[Document]) -> Any:
    if not documents:
        return job.prompt
    blocks = content_blocks(documents, model, citations=job.enable_citations)
    return [*blocks, {"type": "text", "text": job.prompt}]
