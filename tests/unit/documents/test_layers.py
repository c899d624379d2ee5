from __future__ import annotations

import gc
import logging
import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.errors import ValidationError
from batchata.core.media import DocumentSize, pdf_bound
from batchata.documents import Wanted, load
from batchata.documents.pdf import create_pdf

CITED = Wanted(is_cited=True)
WESTERN = st.text(st.characters(codec="cp1252", exclude_categories=["Cc"]), max_size=60)


def text_bytes(data: bytes) -> int:
    from pypdf import PdfReader

    return sum(len(page.extract_text().encode()) for page in PdfReader(BytesIO(data)).pages)


def with_form(text: str) -> bytes:
    """A page whose words are in a form that it only draws."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import DictionaryObject, NameObject, StreamObject

    page = PdfReader(BytesIO(create_pdf([text]))).pages[0]
    form = StreamObject()
    form.set_data(page.get_contents().get_data())  # type: ignore[union-attr]
    form.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Form"),
            NameObject("/BBox"): page.mediabox,
            NameObject("/Resources"): page["/Resources"],
        }
    )
    writer = PdfWriter()
    made = writer.add_blank_page(595, 842)
    forms = DictionaryObject({NameObject("/F"): writer._add_object(form)})
    made[NameObject("/Resources")] = DictionaryObject({NameObject("/XObject"): forms})
    drawn = StreamObject()
    drawn.set_data(b"/F Do")
    made[NameObject("/Contents")] = writer._add_object(drawn)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


@given(st.lists(st.lists(WESTERN, max_size=30).map("\n".join), min_size=1, max_size=4))
def test_the_bound_of_a_pdf_holds_its_text_and_the_image_of_every_page(texts: list[str]) -> None:
    found = load(create_pdf(texts))
    size = DocumentSize(pages=found.pages, text_bytes=found.text_bytes)

    for vendor, image in (("anthropic", 4_784), ("openai", 1_536)):
        formula = text_bytes(create_pdf(texts)) + image * len(texts)
        assert pdf_bound(vendor, size=size) >= formula


@pytest.mark.parametrize("make", [lambda text: create_pdf([text]), with_form], ids=["page", "form"])
def test_a_page_of_more_text_than_paper_holds_is_bounded_by_that_text(make: object) -> None:
    text = "\n".join("€uro " * 40 for _ in range(900))
    data = make(text)  # type: ignore[operator]

    found = load(data)

    assert found.text_bytes is not None
    assert 2 * found.text_bytes >= len(text.encode())


def test_a_page_full_of_drawings_is_bounded_by_what_it_says() -> None:
    lines = "".join(f"{n % 500} 1 m {n % 400} 800 l S\n" for n in range(9_000))
    data = create_pdf(["Total 5"]).replace(b"BT /F1", b"BT /F1")
    drawn = with_drawing(lines.encode(), data)

    assert load(drawn).text_bytes == len(b"Total 5")


def with_drawing(commands: bytes, data: bytes) -> bytes:
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import NameObject, StreamObject

    writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
    page = writer.pages[0]
    drawn = StreamObject()
    drawn.set_data(page.get_contents().get_data() + b"\n" + commands)  # type: ignore[union-attr]
    page[NameObject("/Contents")] = writer._add_object(drawn)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def test_an_everyday_page_is_not_measured_and_many_pages_are_not_looked_at() -> None:
    assert load(create_pdf(["An everyday line."])).text_bytes is None
    assert load(create_pdf(["x"] * 60)).text_bytes is None


def test_a_scan_cannot_be_cited_and_can_be_asked_about() -> None:
    scan = create_pdf(["", "", ""])

    assert load(scan, "scan.pdf").pages == 3
    with pytest.raises(ValidationError, match=r"'scan\.pdf' has no text layer") as caught:
        load(scan, "scan.pdf", wanted=CITED)
    assert "ocrmypdf" in (caught.value.hint or "")


def test_some_pages_without_text_are_a_warning_that_names_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="batchata"):
        found = load(create_pdf(["Total 5", "", "x", ""]), "half.pdf", wanted=CITED)

    assert found.pages == 4
    assert "PDF 'half.pdf': 2 of 4 pages looked at have no text layer (2, 4)" in caplog.text


def test_short_words_are_text_enough_to_cite(caplog: pytest.LogCaptureFixture) -> None:
    assert load(create_pdf(["Total 5"] * 3), wanted=CITED).pages == 3
    assert caplog.text == ""


def test_two_thousand_pages_are_counted_and_looked_at_in_part() -> None:
    data = create_pdf(["page"] * 2_000)

    assert load(data, wanted=CITED).pages == 2_000


PICTURE_BYTES = 1_000_000


def with_pictures(pages: int) -> bytes:
    """Pages of text, a picture behind each."""
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import DictionaryObject, NameObject, StreamObject

    texts = [f"page {number}" for number in range(pages)]
    writer = PdfWriter(clone_from=PdfReader(BytesIO(create_pdf(texts))))
    for page in writer.pages:
        picture = StreamObject()
        picture.set_data(os.urandom(PICTURE_BYTES))
        picture[NameObject("/Subtype")] = NameObject("/Image")
        drawn = DictionaryObject({NameObject("/P"): writer._add_object(picture)})
        page["/Resources"][NameObject("/XObject")] = drawn  # type: ignore[index]
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("wanted", [Wanted(), CITED])
def test_no_more_than_the_pictures_of_a_page_are_ever_held(tmp_path: Path, wanted: Wanted) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(with_pictures(6))
    load(path, wanted=wanted)
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(3):
            load(path, wanted=wanted)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()

    assert held < PICTURE_BYTES
    assert peak < 4 * PICTURE_BYTES  # two pieces of the file, and a picture as it is read
