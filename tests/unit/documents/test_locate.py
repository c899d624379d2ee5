"""Quotes looked up in the documents of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchata.core.document import Document
from batchata.core.errors import ValidationError
from batchata.documents import load
from batchata.documents.locate import cite_quotes, text_pages
from batchata.documents.pdf import create_pdf

PDF = create_pdf(["Invoice 17\nHarbour Light Ltd", "Total due: $1,250.00\nPay within 30 days"])


def test_a_quote_in_a_pdf_has_its_page_and_the_documents_own_words() -> None:
    documents = [load(b"Notes of the clerk", "notes.txt"), load(PDF, "invoice.pdf")]

    found = cite_quotes({"total": "total due:  $1,250.00"}, documents)

    (citation,) = found["total"]
    assert (citation.text, citation.source) == ("Total due: $1,250.00", "invoice.pdf")
    assert (citation.page, citation.document_index) == (2, 1)
    assert (citation.confidence, citation.match_reason) == ("high", "quote found (score: 1.00)")
    page = text_pages(documents[1])[1]
    assert page[citation.start : citation.end] == "Total due: $1,250.00"


def test_a_quote_in_a_text_has_its_characters_and_no_page() -> None:
    document = load("Der Vertrag endet am 3. März.".encode(), "vertrag.txt")

    (citation,) = cite_quotes({"end": "3. März"}, [document])["end"]

    assert (citation.page, citation.start, citation.end) == (None, 21, 28)


def test_a_quote_that_is_nowhere_is_marked() -> None:
    (citation,) = cite_quotes({"total": "Total due: $9,999.00"}, [load(PDF, "a.pdf")])["total"]

    assert (citation.source, citation.text) == ("", "Total due: $9,999.00")
    assert citation.match_reason == "quote not found"
    assert citation.metadata is not None
    assert citation.metadata["found"] is False


def test_a_quote_with_a_slip_is_found_and_less_sure() -> None:
    document = load(b"The tenant shall keep the premises in good repair at all times.", "a.txt")

    (citation,) = cite_quotes(
        {"duty": "The tenant shal keep the premisses in good repair"}, [document]
    )["duty"]

    assert citation.confidence == "medium"
    assert citation.text == "The tenant shall keep the premises in good repair"


def test_a_file_on_disk_is_read_again_and_its_loss_is_named(tmp_path: Path) -> None:
    path = tmp_path / "invoice.pdf"
    path.write_bytes(PDF)
    document = load(path)

    (citation,) = cite_quotes({"days": "within 30 days"}, [document])["days"]
    path.unlink()

    assert citation.page == 2
    with pytest.raises(ValidationError, match="can no longer be read"):
        cite_quotes({"days": "within 30 days"}, [document])


def test_an_image_has_no_pages_of_text() -> None:
    image = Document(name="a.png", media_type="image/png", kind="image", size_bytes=9, sha256="0")

    assert text_pages(image) == []
    assert cite_quotes({"a": "b"}, [image])["a"][0].source == ""
