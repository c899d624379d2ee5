from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.errors import ValidationError
from batchata.documents import load
from batchata.documents.pdf import create_pdf

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
DOCX = b"PK\x03\x04" + bytes(30)
HTML = b"\n<!DOCTYPE html><html><body>404</body></html>"


def encrypted_pdf(password: str) -> bytes:
    from io import BytesIO

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(BytesIO(create_pdf(["secret"]))))
    writer.encrypt(password, algorithm="RC4-128")
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def test_a_pdf_is_loaded_with_its_pages_and_its_digest(tmp_path: Path) -> None:
    data = create_pdf(["one", "two", "three"])
    path = tmp_path / "bill.pdf"
    path.write_bytes(data)

    found = load(path)

    assert (found.name, found.media_type, found.kind) == ("bill.pdf", "application/pdf", "pdf")
    assert (found.pages, found.size_bytes, found.data) == (3, len(data), data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert load(str(path)) == found


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg"),
        (b"GIF89a" + bytes(20), "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(20), "image/webp"),
    ],
)
def test_an_image_is_known_by_its_first_bytes_whatever_its_name(
    data: bytes, media_type: str
) -> None:
    found = load(data, "picture.bin")

    assert (found.kind, found.media_type, found.data, found.text) == (
        "image",
        media_type,
        data,
        None,
    )


@pytest.mark.parametrize(
    "data",
    [
        "Grüße, 東京".encode(),
        "Grüße, 東京".encode("utf-8-sig"),
        "Grüße, 東京".encode("utf-16"),
        b"\xfe\xff" + "Grüße, 東京".encode("utf-16-be"),
        "Grüße, 東京".encode("utf-32"),
    ],
    ids=["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"],
)
def test_text_is_decoded_by_its_mark_or_as_utf_8(data: bytes) -> None:
    found = load(data, "note.txt")

    assert (found.kind, found.text, found.data) == ("text", "Grüße, 東京", None)


def test_text_of_no_unicode_is_read_by_the_western_code_pages() -> None:
    assert load("10 € … Grüße".encode("cp1252")).text == "10 € … Grüße"
    assert load(b"caf\xe9 \x81").text == "café \x81"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.csv", "text/csv"),
        ("a.MD", "text/markdown"),
        ("a.html", "text/html"),
        ("a.py", "text/plain"),
        ("README", "text/plain"),
    ],
)
def test_the_media_type_of_text_comes_from_its_name(name: str, media_type: str) -> None:
    assert load(b"a,b", name).media_type == media_type


@pytest.mark.parametrize(
    ("data", "name", "what"),
    [
        (b"", "a.pdf", "empty"),
        (HTML, "a.pdf", "an HTML page"),
        (b"hello", "a.png", "a text file"),
        (DOCX, "a.docx", "Office file"),
        (DOCX, "a.pdf", "Office file"),
        (b"BM" + bytes(30), "a.bmp", "BMP"),
        (b"\x7fELF\0\1\2\3", "a.bin", "unknown kind"),
        ("hi".encode("utf-16-le"), "a.txt", "unknown kind"),
        (b"%PDF-1.7\nbroken", "a.pdf", "damaged"),
        (create_pdf(["x"])[:200], "a.pdf", "damaged"),
        (encrypted_pdf("x"), "a.pdf", "encrypted"),
        (encrypted_pdf(""), "a.pdf", "encrypted"),
    ],
    ids=[
        "empty",
        "html",
        "text-png",
        "docx",
        "docx-pdf",
        "bmp",
        "elf",
        "utf-16-unmarked",
        "garbage-pdf",
        "cut-pdf",
        "password",
        "empty-password",
    ],
)
def test_a_file_that_cannot_be_sent_is_an_error_that_names_it_and_says_why(
    data: bytes, name: str, what: str
) -> None:
    with pytest.raises(ValidationError, match=what) as caught:
        load(data, name)

    assert repr(name) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_errors_that_name_the_path(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"gone\.pdf' is not there"):
        load(tmp_path / "gone.pdf")
    with pytest.raises(ValidationError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ValidationError, match="cannot be read"):
        load("a\0b.pdf")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_without_permission_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "locked.txt"
    path.write_text("x")
    path.chmod(0)

    with pytest.raises(ValidationError, match=r"locked\.txt"):
        load(path)


def test_a_pdf_with_a_small_fault_is_loaded_without_a_word_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = create_pdf(["one", "two"]).replace(b"startxref\n", b"startxref\n9")

    with caplog.at_level(logging.DEBUG):
        found = load(data, "a.pdf")

    assert found.pages == 2
    assert caplog.records == []
    assert logging.getLogger("pypdf").level == logging.NOTSET


@given(st.binary(max_size=300), st.sampled_from(["a.pdf", "a.txt", "a.png", "a"]))
def test_any_bytes_are_a_document_or_our_error(data: bytes, name: str) -> None:
    try:
        found = load(data, name)
    except ValidationError:
        return

    assert (found.text is None) != (found.data is None)


@given(st.binary(max_size=40), st.integers(0, 600))
def test_any_damage_to_a_pdf_is_repaired_or_our_error(noise: bytes, at: int) -> None:
    data = create_pdf(["one", "two"])

    try:
        found = load(data[:at] + noise + data[at + len(noise) :], "a.pdf")
    except ValidationError:
        return

    assert found.pages or found.kind != "pdf"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_text_written_as_utf_8_comes_back_as_it_was(text: str) -> None:
    if "%PDF-" in text or text.startswith(("GIF8", "\ufeff")):
        return

    assert load(text.encode(), "a.txt").text == text
