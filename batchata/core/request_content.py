"""The documents and the question inside a request body, whichever vendor it was made for. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from batchata.core.document import Attachment

#: how a text document stands in a prompt
_IMAGES: Final = ("image", "image_url", "input_image")
_LABELLED: Final = re.compile(r'<document name="(?P<name>[^"]*)">\n(?P<text>.*)\n</document>', re.S)
_PDF: Final = "application/pdf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One document of a job, as far as it can still be read."""

    name: str
    text: str | None = field(default=None, repr=False)
    path: str | None = None  #: where the PDF was when the job was added
    sha256: str | None = None  #: of the file at `path`, as it was then
    data: bytes | None = field(default=None, repr=False)  #: the PDF itself

    @property
    def is_pdf(self) -> bool:
        """True for a document whose text is on pages."""
        return self.path is not None or self.data is not None


@dataclass(frozen=True, slots=True)
class RequestContent:
    """What a job asked, and about which documents, in the vendor's counting."""

    question: str
    sources: tuple[Source, ...]
    images: int = 0  #: pictures beside the documents, which have no text


def content_of(body: Any, attachments: Sequence[Attachment] = ()) -> RequestContent:
    """What a request body says; never raises, a body may be any JSON."""
    texts: list[str] = []
    sources: list[Source] = []
    by_marker = {each.marker: each for each in attachments}
    images = 0
    for part in _parts(body):
        images += part.get("type") in _IMAGES
        source = _source(part, by_marker)
        if source is not None:
            sources.append(source)
        elif isinstance(said := part.get("text"), str):
            texts.append(said)
    return RequestContent("\n\n".join(texts), tuple(sources), images)


def _parts(body: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        return
    for message in _list(body.get("messages", body.get("input"))):
        if isinstance(message, str):
            yield {"type": "text", "text": message}
        elif isinstance(message, Mapping) and message.get("role", "user") == "user":
            for part in _list(message.get("content")):
                yield part if isinstance(part, Mapping) else {"type": "text", "text": str(part)}


def _list(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _source(part: Mapping[str, Any], attachments: Mapping[str, Attachment]) -> Source | None:
    match part.get("type"):
        case "text" | "input_text":
            found = _LABELLED.fullmatch(str(part.get("text")))
            return Source(name=found["name"], text=found["text"]) if found else None
        case "document":
            inner = part.get("source")
            source = inner if isinstance(inner, Mapping) else {}
            return _anthropic(str(part.get("title") or ""), source, attachments)
        case "file":
            inner = part.get("file")
            file = inner if isinstance(inner, Mapping) else {}
            return _openai(file, attachments)
        case "input_file":
            return _openai(part, attachments)
    return None


def _anthropic(
    name: str, source: Mapping[str, Any], attachments: Mapping[str, Attachment]
) -> Source:
    match source.get("type"):
        case "text":
            return Source(name=name, text=str(source.get("data") or ""))
        case "content":
            blocks = _list(source.get("content"))
            texts = (b if isinstance(b, str) else _text_of(b) for b in blocks)
            return Source(name=name, text="\n".join(texts))
        case "base64" if source.get("media_type") == _PDF:
            return _pdf(name, str(source.get("data") or ""), attachments)
    return Source(name=name or str(source.get("url") or source.get("file_id") or ""))


def _openai(file: Mapping[str, Any], attachments: Mapping[str, Attachment]) -> Source:
    name = str(file.get("filename") or file.get("file_id") or file.get("file_url") or "")
    head, comma, data = str(file.get("file_data") or "").partition(";base64,")
    return _pdf(name, data, attachments) if comma and head.endswith(_PDF) else Source(name=name)


def _pdf(name: str, data: str, attachments: Mapping[str, Attachment]) -> Source:
    attached = attachments.get(data)
    if attached is not None:
        return Source(name=name or attached.name, path=attached.path, sha256=attached.sha256)
    try:
        return Source(name=name, data=base64.b64decode(data, validate=True) or None)
    except (binascii.Error, ValueError):
        return Source(name=name)


def _text_of(block: Any) -> str:
    return str(block.get("text") or "") if isinstance(block, Mapping) else ""
