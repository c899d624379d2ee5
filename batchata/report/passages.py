"""The passages an answer rests on, each in its page or text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from batchata.core.request_content import Source
from batchata.core.result import Citation, JobResult
from batchata.report.fields import clip, flatten, parents
from batchata.report.marking import Span, cut, find
from batchata.report.pages import Pages

MOST_VIEWS: Final = 40
MOST_CITATIONS: Final = 400
_MOST_CITED: Final = 4_000
#: pages searched for a passage whose page is not known
_PAGES_TRIED: Final = 30
Numbered = tuple[int, Citation]
#: "missing" is a quote that no document has, "unchecked" one that could not be looked up
Standing = Literal["found", "missing", "unchecked"]
FOUND: Final = "found"
MISSING: Final = "missing"
UNCHECKED: Final = "unchecked"


@dataclass(frozen=True, slots=True)
class Cited:
    """The citations of one answer, numbered, and the numbers each field rests on."""

    citations: tuple[Citation, ...]
    by_path: Mapping[str, tuple[int, ...]]
    left_out: int = 0

    def of(self, path: str) -> tuple[int, ...]:
        """Numbers of the citations of a field, or else of what contains it."""
        found = self.by_path.get(path)
        if found is not None:
            return found
        return next((self.by_path[each] for each in parents(path) if each in self.by_path), ())


def cited_of(result: JobResult) -> Cited:
    """What an answer cites, each passage once."""
    known: dict[str, int] = {}
    citations: list[Citation] = []
    left_out = 0

    def number(citation: Citation) -> int | None:
        nonlocal left_out
        span = (citation.page, citation.start, citation.end, standing_of(citation))
        place = repr((citation.text, citation.source, *span))
        if place not in known:
            if len(citations) >= MOST_CITATIONS:
                left_out += 1
                return None
            known[place] = len(citations)
            citations.append(citation)
        return known[place]

    by_path = {
        path: tuple(n for each in found if (n := number(each)) is not None)
        for path, found in (result.citation_mappings or {}).items()
    }
    for each in result.citations or ():
        number(each)
    return Cited(tuple(citations), by_path, left_out)


def field_rows(result: JobResult, cited: Cited) -> tuple[list[list[Any]], int]:
    """Fields as [path, text, kind, citations], with those that have no value at the end."""
    parsed = result.parsed_response
    fields, left_out = ([], 0) if parsed is None else flatten(parsed)
    rows: list[list[Any]] = [[*field, list(cited.of(field.path))] for field in fields]
    inside = {path for field in fields for path in (field.path, *parents(field.path))}
    rows += [
        [path, "not in the answer", "none", list(numbers)]
        for path, numbers in cited.by_path.items()
        if path not in inside
    ]
    return rows, left_out


def standing_of(citation: Citation) -> Standing:
    """Whether a citation was found in its document; a vendor's own is taken at its word."""
    if "found" not in (citation.metadata or {}) or citation.is_found:
        return FOUND
    return UNCHECKED if citation.is_found is None else MISSING


def citation_row(citation: Citation) -> list[Any]:
    """A citation as [words, source, page, confidence, reason, standing]."""
    return [
        clip(citation.text, _MOST_CITED),
        citation.source,
        citation.page,
        citation.confidence,
        citation.match_reason,
        standing_of(citation),
    ]


class Viewer:
    """Shows citations in their documents."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def views(
        self, citations: Sequence[Citation], sources: Sequence[Source]
    ) -> list[dict[str, Any]]:
        """Pages and texts with their passages marked; citations of lost documents on their own."""
        by_source: dict[Source | None, list[Numbered]] = {}
        nowhere: dict[Standing, list[Numbered]] = {}
        for number, citation in enumerate(citations):
            standing = standing_of(citation)
            if standing == FOUND:
                by_source.setdefault(_source_of(citation, sources), []).append((number, citation))
            else:
                nowhere.setdefault(standing, []).append((number, citation))
        views: list[dict[str, Any]] = []
        for source, found in by_source.items():
            if source is not None and source.text is not None:
                views.extend(_text_views(source, source.text, found))
            elif source is not None and source.is_pdf:
                views.extend(self._page_views(source, found))
            else:
                views.extend(_quotes(found))
        shown = [view for each, found in nowhere.items() for view in _quotes(found, each)]
        return views[: MOST_VIEWS - len(shown)] + shown

    def _page_views(self, source: Source, found: Sequence[Numbered]) -> Iterator[dict[str, Any]]:
        numbers = {page for _, citation in found for page in _pages_of(citation)}
        texts = self._pages.texts(source, numbers)
        on_page: dict[int, list[Span]] = {}
        lost: list[Numbered] = []
        for number, citation in found:
            page, spans = _on_page(texts, number, citation)
            if spans:
                on_page.setdefault(page, []).extend(spans)
            else:
                lost.append((number, citation))
        words = dict(found)
        for page, spans in sorted(on_page.items()):
            view = {"name": source.name, "page": page, "text": cut(texts[page], spans)}
            yield view | self._picture(source, page, words, spans)
        yield from _quotes(lost)

    def _picture(
        self, source: Source, page: int, words: Mapping[int, Citation], spans: Sequence[Span]
    ) -> dict[str, Any]:
        picture = self._pages.picture(source, page)
        if picture is None:
            return {}
        numbers = sorted({span.citation for span in spans})
        boxes = self._pages.boxes(source, page, [words[number].text for number in numbers])
        marked = [[*box, n] for n, each in zip(numbers, boxes, strict=True) for box in each]
        return {"picture": picture, "boxes": marked}


def _source_of(citation: Citation, sources: Sequence[Source]) -> Source | None:
    index = citation.document_index
    if index is not None and 0 <= index < len(sources):
        return sources[index]
    named = [source for source in sources if source.name == citation.source]
    if named:
        return named[0]
    return sources[0] if len(sources) == 1 else None


def _text_views(source: Source, text: str, found: Sequence[Numbered]) -> Iterator[dict[str, Any]]:
    spans: list[Span] = []
    lost: list[Numbered] = []
    for number, citation in found:
        places = find(text, citation.text, _hint(citation, text))
        spans.extend(Span(start, end, number) for start, end in places)
        if not places:
            lost.append((number, citation))
    if spans:
        yield {"name": source.name, "text": cut(text, spans)}
    yield from _quotes(lost)


def _hint(citation: Citation, text: str) -> int | None:
    """Where the passage begins, if the citation counts in characters."""
    start = citation.start
    return start if start is not None and citation.page is None and start < len(text) else None


def _pages_of(citation: Citation) -> range:
    if citation.page is None:
        return range(1, _PAGES_TRIED + 1)
    # a vendor's last page is the one after the passage
    last = citation.end if citation.end is not None else citation.page
    return range(citation.page, min(max(citation.page, last), citation.page + 2) + 1)


def _on_page(texts: Mapping[int, str], number: int, citation: Citation) -> tuple[int, list[Span]]:
    for page in _pages_of(citation):
        places = find(texts[page], citation.text) if page in texts else []
        if places:
            return page, [Span(start, end, number) for start, end in places]
    return 0, []


def _quotes(
    found: Sequence[Numbered], standing: Standing | None = None
) -> Iterator[dict[str, Any]]:
    """Citations in their own words, when the document is not at hand or does not have them."""
    by_place: dict[tuple[str, int | None], list[Numbered]] = {}
    for number, citation in found:
        by_place.setdefault((citation.source, citation.page), []).append((number, citation))
    for (name, page), inside in by_place.items():
        pieces: list[list[Any]] = []
        for number, citation in inside:
            if pieces:
                pieces.append(["\n\n"])
            pieces.append([clip(citation.text, _MOST_CITED), [number]])
        view = {"name": name, "page": page, "text": pieces, "is_quote": True}
        if standing is not None:
            reason = (inside[0][1].metadata or {}).get("why")
            view |= {"standing": standing} | ({"why": reason} if reason else {})
        yield view
