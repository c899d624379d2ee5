from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from batchata import Citation, JobResult
from batchata.core.request_content import RequestContent, Source
from batchata.documents.pdf import create_pdf
from batchata.report import pages as pages_module
from batchata.report.pages import Pages
from batchata.report.passages import Viewer, cited_of, field_rows
from batchata.report.rows import Names, detail_of, row_of

TOTAL = Citation("Total due: EUR 12", "a.pdf", page=1)
DATE = Citation("Dated 3 May", "a.pdf", page=2)
PDF = create_pdf(["Invoice\nTotal due: EUR 12", "Dated 3 May"])


def views(citations: Sequence[Citation], *sources: Source, pictures: int = 0) -> list[Any]:
    return Viewer(Pages(pictures=pictures)).views(citations, sources)


def marked(view: dict[str, Any]) -> list[tuple[str, list[int]]]:
    return [(piece[0], piece[1]) for piece in view["text"] if len(piece) == 2]


def test_a_field_rests_on_its_own_citations_or_on_those_of_what_it_is_in() -> None:
    result = JobResult(
        "j",
        parsed_response={"total": 12, "items": [{"name": "x", "price": 1}], "free": True},
        citation_mappings={"total": [TOTAL], "items[0]": [DATE], "items[0].price": [TOTAL]},
    )
    cited = cited_of(result)

    rows, _ = field_rows(result, cited)

    assert [(row[0], row[3]) for row in rows] == [
        ("total", [0]),
        ("items[0].name", [1]),
        ("items[0].price", [0]),
        ("free", []),
    ]


def test_a_citation_of_a_field_that_is_not_there_is_shown_all_the_same() -> None:
    result = JobResult("j", parsed_response={"a": 1}, citation_mappings={"gone": [TOTAL]})

    rows, _ = field_rows(result, cited_of(result))

    assert rows[-1] == ["gone", "not in the answer", "none", [0]]


def test_the_same_passage_is_numbered_once() -> None:
    result = JobResult("j", citations=[TOTAL, DATE], citation_mappings={"a": [TOTAL], "b": [DATE]})

    assert cited_of(result).citations == (TOTAL, DATE)


def quoted(text: str, found: bool | None, why: str | None = None) -> Citation:
    """A quote that a model gave for a field, and whether it was found."""
    source, page = ("a.pdf", 1) if found else ("", None)
    return Citation(text, source, page, metadata={"type": "quote", "found": found, "why": why})


def test_a_quote_that_stands_nowhere_is_told_apart_and_looked_for_in_no_page() -> None:
    pdf = Source(name="a.pdf", data=PDF)
    lost, unseen = quoted("Dated 3 May", False), quoted("Total", None, "it is a scan")

    found = views([quoted("Total due: EUR 12", True), lost, unseen], pdf)

    assert [(view["name"], view.get("standing")) for view in found] == [
        ("a.pdf", None),
        ("", "missing"),
        ("", "unchecked"),
    ]
    assert marked(found[1]) == [("Dated 3 May", [1])]
    assert (found[1].get("why"), found[2]["why"]) == (None, "it is a scan")


def test_a_field_whose_quote_stands_nowhere_is_not_counted_as_cited() -> None:
    result = JobResult(
        "j",
        parsed_response={"total": 12, "date": "3 May", "vendor": "x", "free": True},
        citation_mappings={
            "total": [TOTAL],
            "date": [quoted("in May", False)],
            "vendor": [quoted("x", None)],
        },
    )
    detail = detail_of(result, RequestContent("", ()), Viewer(Pages(pictures=0)))

    row = row_of(result, detail, Names(), Names())

    assert row[-4:] == [4, 1, 1, 1], "fields, cited, citations, not found"


def test_marks_passages_in_a_text() -> None:
    text = Source(name="c.txt", text="It was dated 3 May, in Rome.")

    [view] = views([Citation("dated 3 May", "c.txt", document_index=0)], text)

    assert marked(view) == [("dated 3 May", [0])]
    assert view["text"][0] == ["It was "]


def test_marks_passages_on_their_pages() -> None:
    first, second = views([TOTAL, DATE], Source(name="a.pdf", data=PDF))

    assert (first["page"], marked(first)) == (1, [("Total due: EUR 12", [0])])
    assert (second["page"], marked(second)) == (2, [("Dated 3 May", [1])])


def test_finds_the_page_of_a_passage_that_names_none() -> None:
    [view] = views([Citation("Dated 3 May", "a.pdf")], Source(name="a.pdf", data=PDF))

    assert view["page"] == 2


def test_a_document_is_found_by_its_index_its_name_or_by_being_the_only_one() -> None:
    sources = (Source(name="one", text="alpha beta"), Source(name="two", text="alpha gamma"))

    by_index = views([Citation("alpha", "?", document_index=1)], *sources)
    by_name = views([Citation("alpha", "one")], *sources)
    alone = views([Citation("alpha", "?")], sources[0])

    assert [view[0]["name"] for view in (by_index, by_name, alone)] == ["two", "one", "one"]


@pytest.mark.parametrize(
    "source",
    [
        Source(name="a.pdf"),
        Source(name="a.pdf", data=b"no pdf"),
        Source(name="a.pdf", data=create_pdf(["other words"])),
        Source(name="a.pdf", path="/nowhere/a.pdf"),
        Source(name="a.pdf", text="other words"),
    ],
)
def test_a_passage_that_cannot_be_found_speaks_for_itself(source: Source) -> None:
    [view] = views([TOTAL], source)

    assert view["is_quote"]
    assert (view["name"], view["page"]) == ("a.pdf", 1)
    assert marked(view) == [("Total due: EUR 12", [0])]


def test_a_file_that_was_changed_since_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(PDF)

    [view] = views([TOTAL], Source(name="a.pdf", path=str(path), sha256="0" * 64))

    assert view["is_quote"]


def test_draws_cited_pages_with_boxes_over_the_passages() -> None:
    viewer = Viewer(pages := Pages(pictures=1))

    first, second = viewer.views([TOTAL, DATE], [Source(name="a.pdf", data=PDF)])

    [[left, top, width, height, number]] = first["boxes"]
    assert number == 0
    assert 0 < left < left + width < 1000
    assert 0 < top < top + height <= 1000
    assert "picture" not in second
    assert (len(pages.pictures), pages.asked) == (1, 2)
    assert pages.pictures[0].url.startswith("data:image/png;base64,")


def test_a_page_is_drawn_once_for_all_jobs_about_it() -> None:
    viewer = Viewer(pages := Pages(pictures=5))
    source = Source(name="a.pdf", data=PDF)

    numbers = [viewer.views([TOTAL], [source])[0]["picture"] for _ in range(3)]

    assert numbers == [0, 0, 0]
    assert len(pages.pictures) == 1


def test_shows_text_where_pages_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_module, "has_painter", lambda: False)

    [view] = views([TOTAL], Source(name="a.pdf", data=PDF), pictures=5)

    assert "picture" not in view
    assert marked(view)
