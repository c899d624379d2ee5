"""Scripted answers that cite: each line cites the passage that shares most words with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchata.core.errors import ValidationError
from batchata.documents.pdf import count_pages, page_texts
from batchata.gateway.sandbox.media import PDF, decoded, sniffed, stored

Wire = dict[str, Any]
WORD: Final = re.compile(r"[^\W_][\w.,/-]*[^\W_]|[^\W_]")
#: a line of an answer, with its line break
LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")
UNREAD: Final = "scripted citation"


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be cited."""

    text: str
    place: Wire  #: the citation without its text
    words: frozenset[str]


def cited_blocks(text: str, cited: list[tuple[int, Wire]], files: Mapping[str, Path]) -> list[Wire]:
    """Split an answer into text blocks, with citations where a document supports them."""
    passages = [passage for index, block in cited for passage in _passages(index, block, files)]
    blocks = [_block(line, passages) for line in LINE.findall(text)]
    if any(block["citations"] for block in blocks):
        return _joined(blocks)
    start, _, rest = text.partition(": ")
    first = {each.place["document_index"]: each for each in reversed(passages)}
    citations = [_citation(first[index]) for index in sorted(first)]
    return [
        {"type": "text", "text": f"{start}: ", "citations": None},
        {"type": "text", "text": rest, "citations": citations},
    ]


def _block(line: str, passages: list[Passage]) -> Wire:
    words = frozenset(_words(line))
    best = max(passages, key=lambda each: len(each.words & words), default=None)
    is_told = best is not None and any(map(_is_telling, best.words & words))
    citations = [_citation(best)] if best is not None and is_told else None
    return {"type": "text", "text": line, "citations": citations}


def _joined(blocks: list[Wire]) -> list[Wire]:
    """Join consecutive lines without citations into one block."""
    joined: list[Wire] = []
    for block in blocks:
        if joined and not block["citations"] and not joined[-1]["citations"]:
            joined[-1]["text"] += block["text"]
        else:
            joined.append(block)
    return joined


def _citation(passage: Passage) -> Wire:
    return {"cited_text": passage.text, **passage.place}


def _passages(index: int, block: Wire, files: Mapping[str, Path]) -> Iterator[Passage]:
    source = block.get("source") or {}
    where: Wire = {
        "document_index": index,
        "document_title": block.get("title"),
        "file_id": source.get("file_id"),
    }
    kind, data = source.get("type"), b""
    if kind == "text":
        yield from _characters(str(source.get("data")), where)
        return
    if kind == "content":
        yield from _pieces(source.get("content"), where)
        return
    if kind == "base64":
        data = decoded(source.get("data")) or b""
    elif source.get("file_id") in files:
        data = stored(files[source["file_id"]])
    if data and sniffed(data[:1024]) == PDF:
        yield from _pages(data, where)
    elif data:
        yield from _characters(data.decode("utf-8", "replace"), where)
    else:
        yield _passage(UNREAD, where, "page_location", "page_number", 1)


def _characters(text: str, where: Wire) -> Iterator[Passage]:
    for line in re.finditer(r"\S[^\n]*", text):
        place = {"start_char_index": line.start(), "end_char_index": line.end()}
        yield Passage(
            line[0], {"type": "char_location", **where, **place}, frozenset(_words(line[0]))
        )


def _pages(data: bytes, where: Wire) -> Iterator[Passage]:
    try:
        texts = page_texts(data, "document", range(1, count_pages(data, "document") + 1))
    except ValidationError:
        texts = {}
    for number, text in texts.items():
        for line in text.splitlines():
            if line.strip():
                yield _passage(line.strip(), where, "page_location", "page_number", number)


def _pieces(content: Any, where: Wire) -> Iterator[Passage]:
    blocks = content if isinstance(content, list) else [{"text": content}]
    for number, block in enumerate(blocks):
        text = str(block.get("text") or "")
        yield _passage(text, where, "content_block_location", "block_index", number)


def _passage(text: str, where: Wire, kind: str, name: str, number: int) -> Passage:
    place = {"type": kind, **where, f"start_{name}": number, f"end_{name}": number + 1}
    return Passage(text, place, frozenset(_words(text)))


def _words(text: str) -> Iterator[str]:
    return (word.casefold() for word in WORD.findall(text))


def _is_telling(word: str) -> bool:
    """True for a number or a long word: having "the" in common says nothing."""
    return len(word) > 4 or any(character.isdigit() for character in word)
