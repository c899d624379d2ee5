"""What every codec does the same way when it puts a job into words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from batchata.core.document import Attachment, Document, attachment_of
from batchata.core.errors import ValidationError
from batchata.core.job import Job
from batchata.core.json_bytes import json_bytes
from batchata.core.media import DocumentSize


def dump(body: Mapping[str, Any], job: Job) -> bytes:
    """The body as JSON; ValidationError naming the first value that JSON cannot say."""
    try:
        return orjson.dumps(body)
    except (TypeError, ValueError) as error:
        where = unsayable(body) or "the request"
        raise ValidationError(
            f"{where} cannot be sent as JSON: {error}",
            hint="use text, numbers, lists and mappings with text keys",
        ) from error


def unsayable(value: Any, path: str = "") -> str | None:
    """Path of the first value inside that JSON cannot say, None when all can be said."""
    if value is None or isinstance(value, (bool, int, float)):
        return None
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


def read_loosely(body: bytes | msgspec.Raw) -> Any:
    """Any JSON; None when it is none."""
    try:
        return orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        return None


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
