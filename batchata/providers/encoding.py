"""What all codecs share when they encode a job."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from batchata.core.document import Attachment, Document, attachment_of
from batchata.core.errors import ValidationError
from batchata.core.job import Job, check_number
from batchata.core.json_bytes import json_bytes
from batchata.core.media import DocumentSize

#: parameters of a vendor's own that cap an answer
_CAPS: Final = ("max_completion_tokens", "max_output_tokens", "max_tokens")


def dump(body: Mapping[str, Any], job: Job) -> bytes:
    """The job's body as JSON; ValidationError naming the first value that JSON cannot say."""
    try:
        data = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, ValueError) as error:
        where = unsayable(body) or "the request"
        raise ValidationError(
            f"{where} cannot be sent as JSON: {error}",
            hint="use text, numbers, lists and mappings with text keys",
        ) from error
    _check_numbers(job)
    return data


def _check_numbers(job: Job) -> None:
    """Raise ValidationError for NaN and infinity, which would be written as null."""
    endless = _endless(job.temperature, "temperature") or (job.params and _endless(job.params))
    if job.messages and any(type(each.get("content")) is not str for each in job.messages):
        endless = endless or _endless(job.messages, "messages")
    if endless:
        raise ValidationError(
            f"{endless}, which JSON cannot say", hint="write a finite number, or leave it out"
        )


def _endless(value: Any, path: str = "") -> str | None:
    """The first NaN or infinite number inside, as "logit_bias.50256 is nan"."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path} is {float(value)}"
    inside: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        inside = ((f"{path}.{key}" if path else str(key), each) for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        inside = ((f"{path}[{index}]", each) for index, each in enumerate(value))
    return next(filter(None, (_endless(each, name) for name, each in inside)), None)


def unsayable(value: Any, path: str = "") -> str | None:
    """Path of the first value inside that JSON cannot represent, if there is one."""
    if value is None or type(value) in (bool, float):
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else path
    if isinstance(value, str):
        return None if value.isascii() or _is_unicode(value) else path or "the text"
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else str(key)
            found = name if not isinstance(key, str) else unsayable(inner, name)
            if found:
                return found
        return None
    if isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            if found := unsayable(inner, f"{path}[{index}]"):
                return found
        return None
    return f"{path} ({type(value).__name__})"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_params(job: Job, mappings: frozenset[str]) -> None:
    """Raise ValidationError for a parameter that we cannot read: `mappings` must be mappings."""
    params = job.params
    if not params:
        return
    for name in mappings & params.keys():
        if not isinstance(params[name], Mapping):
            raise ValidationError(
                f"{name} is {params[name]!r:.80}, not a mapping", hint=f"write {name}={{...}}"
            )
    tools = params.get("tools") or ()
    if not isinstance(tools, (list, tuple)) or not all(isinstance(each, Mapping) for each in tools):
        raise ValidationError(
            f"tools is {tools!r:.80}, not a list of mappings", hint="write tools=[{...}]"
        )
    for name in ("n", *_CAPS):
        check_number(name, params.get(name), least=1, whole=True)


def check_system(content: Any) -> None:
    """Raise ValidationError unless this can be a system prompt: text, or a list of blocks."""
    if not isinstance(content, (str, list, tuple)):
        raise ValidationError(
            f"the system prompt is {content!r:.80}, neither text nor a list of blocks",
            hint='write system="..."',
        )


def data_url(document: Document) -> str:
    """The document as a data URL."""
    return f"data:{document.media_type};base64,{base64_text(document)}"


def base64_text(document: Document) -> str:
    """The document's bytes as base64 text; of a file on disk, the marker of its place."""
    if document.data is None:
        return document.marker
    return base64.b64encode(document.data).decode("ascii")


def labelled(document: Document) -> str:
    """A text document as part of a prompt, under its name."""
    return f'<document name="{document.name}">\n{document.text}\n</document>'


def cap(job: Job, names: Sequence[str]) -> int | None:
    """The job's output cap: a vendor's own parameter of these names wins over max_tokens."""
    for name in names:
        value = job.params.get(name)
        if isinstance(value, int):
            return value
    return job.max_tokens


def bound_cap(job: Job, names: Sequence[str], model_most: int) -> int:
    """Upper bound of the output tokens: the cap, or the most the model can write."""
    most = cap(job, names)
    return model_most if most is None else most


def json_text(value: Any) -> str:
    """A value as JSON text."""
    return json_bytes(value).decode()


def document_sizes(documents: Sequence[Document]) -> dict[str, DocumentSize] | None:
    """What is known of the documents by all their names, for the bound on what they cost."""
    sizes: dict[str, DocumentSize] = {}
    for document in documents:
        if document.kind == "text" or document.is_referred:
            continue
        side = None
        if document.width is not None and document.height is not None:
            side = (document.width, document.height)
        size = DocumentSize(pages=document.pages, text_bytes=document.text_bytes, side=side)
        for name in (document.marker, document.name):
            known = sizes.get(name)
            sizes[name] = size if known is None else size.with_other(known)
    return sizes or None


def attachments_of(documents: Sequence[Document]) -> tuple[Attachment, ...]:
    """The files that a request only marks, each once."""
    found: dict[str, Attachment] = {}
    for document in documents:
        attachment = attachment_of(document)
        if attachment is not None:
            found.setdefault(attachment.sha256, attachment)
    return tuple(found.values())
