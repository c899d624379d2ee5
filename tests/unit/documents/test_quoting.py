"""Documents read back from requests, for the quotes in answers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from report_lab import attachment, pdf_block, text_block

from batchata.core.document import Attachment
from batchata.documents import quoting
from batchata.documents.pdf import create_pdf
from batchata.documents.quoting import QuoteFinder

WORDS = "The total of 12 EUR is due."


def body(*parts: Any) -> bytes:
    return orjson.dumps({"messages": [{"role": "user", "content": list(parts)}]})


def kept(folder: Path, *pages: str) -> tuple[bytes, tuple[Attachment, ...]]:
    """A request with a PDF on disk."""
    path = folder / "a.pdf"
    path.write_bytes(create_pdf(list(pages)))
    file = attachment(path)
    return body(pdf_block("a.pdf", file.marker)), (file,)


def told(finder: QuoteFinder, request: bytes, files: Any = (), quote: str = WORDS) -> Any:
    (citation,) = finder.find({"total": quote}, request, files)["total"]
    return citation


def test_finds_a_quote_in_a_file_on_disk_and_in_one_inside_the_request(tmp_path: Path) -> None:
    inside = base64.b64encode(create_pdf(["nothing", WORDS])).decode()

    on_disk = told(QuoteFinder(), *kept(tmp_path, "nothing", WORDS))
    in_request = told(QuoteFinder(), body(pdf_block("a.pdf", inside)))

    assert on_disk == in_request
    assert (on_disk.is_found, on_disk.page, on_disk.source) == (True, 2, "a.pdf")


def test_a_text_is_found_by_its_characters() -> None:
    found = told(QuoteFinder(), body(text_block("a.txt", f"So: {WORDS}")))

    assert (found.page, found.start, found.document_index) == (None, 4, 0)


def test_a_quote_is_missing_only_where_all_documents_were_read() -> None:
    away = {"type": "document", "source": {"type": "url", "url": "https://example.com/b.pdf"}}
    near = text_block("a.txt", WORDS)

    absent = told(QuoteFinder(), body(near), quote="It is due in May.")
    unknown = told(QuoteFinder(), body(near, away), quote="It is due in May.")
    found = told(QuoteFinder(), body(away, near))

    assert (absent.is_found, unknown.is_found, found.is_found) == (False, None, True)
    assert "https://example.com/b.pdf" in unknown.match_reason
    assert found.document_index == 1


def changed(path: Path) -> None:
    path.write_bytes(create_pdf(["other words"]))


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (Path.unlink, "cannot be read any more"),
        (changed, "was changed after it was sent"),
        (lambda path: None, "no text layer"),
    ],
    ids=["gone", "changed", "a scan"],
)
def test_a_document_that_cannot_be_read_says_why(tmp_path: Path, happens: Any, said: str) -> None:
    request, files = kept(tmp_path, "")
    happens(tmp_path / "a.pdf")

    found = told(QuoteFinder(), request, files)

    assert found.is_found is None
    assert said in found.match_reason


def test_a_damaged_file_is_no_error() -> None:
    broken = base64.b64encode(b"%PDF-1.4 and nothing else").decode()

    found = told(QuoteFinder(), body(pdf_block("a.pdf", broken)))

    assert found.is_found is None
    assert "damaged" in found.match_reason


def test_pages_beyond_the_most_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoting, "_MOST_PAGES", 2)
    request, files = kept(tmp_path, WORDS, "two", "the last")

    finder = QuoteFinder()

    assert told(finder, request, files).is_found is True
    assert told(finder, request, files, "the last").is_found is None


def test_a_closed_finder_gives_up_at_the_next_page(tmp_path: Path) -> None:
    finder = QuoteFinder()
    finder.close()

    assert told(finder, *kept(tmp_path, WORDS)).is_found is None


def test_a_file_is_read_once_and_a_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    texts = QuoteFinder._texts

    def watched(self: QuoteFinder, data: bytes, name: str) -> Iterator[str]:
        read.append(name)
        return texts(self, data, name)

    monkeypatch.setattr(QuoteFinder, "_texts", watched)
    monkeypatch.setattr(quoting, "_KEPT_CHARACTERS", 60)
    finder = QuoteFinder()
    made = {name: base64.b64encode(create_pdf([WORDS, name])).decode() for name in "abc"}

    for name in "aabac":
        told(finder, body(pdf_block(name, made[name])))
    assert read == ["a", "b", "c"]

    told(finder, body(pdf_block("b", made["b"])))
    assert read == ["a", "b", "c", "b"]


@pytest.mark.parametrize("request_", [b"[]", b"null", b'{"messages": 3}', b'{"input": ["a"]}'])
def test_any_request_is_taken(request_: bytes) -> None:
    assert told(QuoteFinder(), request_).is_found is False
