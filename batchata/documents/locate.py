"""Looks up an answer's quotes in the text of the documents it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchata.core.citing.passages import Location, Pages
from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.core.result import Citation
from batchata.documents.pdf import page_texts

FOUND: Final = "quote found"
NEARLY_FOUND: Final = "quote nearly found"
NOT_FOUND: Final = "quote not found"
NOT_CHECKED: Final = "quote not checked"
#: least score of a quote that counts as nearly found
_SURE: Final = 0.9
_MOST_PAGES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """The text of a document, as far as it is available here."""

    name: str
    pages: Pages
    is_paged: bool = False  #: a PDF
    unread: str | None = None  #: why a quote in it may not be found


def cite_quotes(
    quotes: Mapping[str, str], documents: Sequence[Document]
) -> dict[str, list[Citation]]:
    """One citation for each field's quote: where it is, or marked as not found.

    A found quote has the document's own words, its name and number, the page of a PDF, and
    `start` and `end` in characters of the page's text (of the whole text for a text file). One
    that is not found keeps the model's words, has no source and `metadata["found"]` False.
    """
    return cite_in(quotes, [_readable(each) for each in documents])


def cite_in(quotes: Mapping[str, str], readable: Sequence[Readable]) -> dict[str, list[Citation]]:
    """The same for texts that were read already.

    Where a document could not be read, a quote that no other has is not found to be wrong: its
    `metadata["found"]` is None, and `metadata["why"]` says why nobody knows.
    """
    return {path: [_cited(quote, readable)] for path, quote in quotes.items()}


def text_pages(document: Document) -> list[str]:
    """The texts of a document's pages; a text file is one page, an image has none.

    Raises ValidationError when a PDF cannot be read (any more).
    """
    if document.text is not None:
        return [document.text]
    if document.kind != "pdf" or document.is_referred:
        return []
    data = document.data
    if data is None and document.path is not None:
        data = _read(document.path)
    if data is None:
        return []
    texts = page_texts(data, document.name, range(1, (document.pages or _MOST_PAGES) + 1))
    return [texts.get(number, "") for number in range(1, max(texts, default=0) + 1)]


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValidationError(
            f"file {path!r} can no longer be read: {error.strerror}",
            hint="keep the files where they are until the run is over",
        ) from error


def _readable(document: Document) -> Readable:
    pages = Pages(text_pages(document))
    return Readable(name=document.name, pages=pages, is_paged=document.kind == "pdf")


def _cited(quote: str, readable: Sequence[Readable]) -> Citation:
    best: tuple[Location, int] | None = None
    for number, each in enumerate(readable):
        found = each.pages.locate(quote)
        if found is not None and (best is None or found.score > best[0].score):
            best = (found, number)
        if best is not None and best[0].score == 1:
            break
    if best is not None:
        return _found(quote, *best, readable[best[1]])
    unread = next((each for each in readable if each.unread is not None), None)
    return _not_found(quote) if unread is None else _not_checked(quote, unread)


def _found(quote: str, found: Location, number: int, document: Readable) -> Citation:
    metadata = {"type": "quote", "found": True, "quote": quote, "score": found.score}
    if found.end_page != found.page:
        metadata["end_page"] = found.end_page
    return Citation(
        text=document.pages.text(found),
        source=document.name,
        page=found.page if document.is_paged else None,
        metadata=metadata,
        confidence="high" if found.score >= _SURE else "medium",
        match_reason=f"{FOUND if found.score == 1 else NEARLY_FOUND} (score: {found.score:.2f})",
        start=found.start,
        end=found.end,
        document_index=number,
    )


def _not_found(quote: str) -> Citation:
    return Citation(
        text=quote,
        source="",
        metadata={"type": "quote", "found": False, "quote": quote, "score": 0.0},
        confidence="low",
        match_reason=NOT_FOUND,
    )


def _not_checked(quote: str, unread: Readable) -> Citation:
    why = f"{unread.name}: {unread.unread}"
    return Citation(
        text=quote,
        source="",
        metadata={"type": "quote", "found": None, "quote": quote, "why": why},
        match_reason=f"{NOT_CHECKED}: {why}",
    )
