from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest
from file_lab import HTML, docx, encrypted_pdf, office, picture, png, xlsx
from hypothesis import given
from hypothesis import strategies as st

from batchata.core.document import DOCX, PPTX, XLSX, Accepts, FileId, FileUrl
from batchata.core.errors import ValidationError
from batchata.documents import Wanted, load, load_all
from batchata.documents.pdf import create_pdf

ZIP = office(readme="hello")
SLIDES = office(ppt__presentation="<p/>", ppt__slides__slide1="<p>words</p>")
TEXT_ONLY = Wanted(accepts=Accepts())


def test_a_pdf_is_loaded_with_its_pages_and_its_digest_and_is_not_held(tmp_path: Path) -> None:
    data = create_pdf(["one", "two", "three"])
    path = tmp_path / "bill.pdf"
    path.write_bytes(data)

    found = load(path)

    assert (found.name, found.media_type, found.kind) == ("bill.pdf", "application/pdf", "pdf")
    assert (found.pages, found.size_bytes, found.data) == (3, len(data), None)
    assert (found.path, found.sha256) == (str(path), hashlib.sha256(data).hexdigest())
    assert load(str(path)) == found


def test_bytes_given_by_the_user_are_kept_under_their_name() -> None:
    data = create_pdf(["one"])

    found = load(("bill.pdf", data))

    assert (found.name, found.data, found.path) == ("bill.pdf", data, None)
    assert load(data).name == "document"


@pytest.mark.parametrize(
    ("data", "media_type", "side"),
    [
        (png(40, 30), "image/png", (40, 30)),
        (picture("JPEG"), "image/jpeg", (40, 30)),
        (picture("GIF"), "image/gif", (40, 30)),
        (picture("WEBP"), "image/webp", (40, 30)),
    ],
    ids=["png", "jpeg", "gif", "webp"],
)
def test_an_image_is_known_by_its_first_bytes_whatever_its_name(
    data: bytes, media_type: str, side: tuple[int, int]
) -> None:
    found = load(data, "picture.bin")

    assert (found.kind, found.media_type, found.data) == ("image", media_type, data)
    assert (found.width, found.height) == side


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


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "10 € … Grüße"),
        ("latin-1", "café crème, une façade"),
        ("utf-16-le", "An ordinary English line."),
        ("utf-16-be", "An ordinary English line."),
        ("cp1251", "Привет, мир! Счёт номер 15 от 3 марта, сумма 1500 рублей."),
        ("shift_jis", "こんにちは世界。請求書番号は十五です。合計は千五百円です。"),
        ("euc_kr", "안녕하세요 세계. 송장 번호는 15입니다. 총액은 1500원입니다."),
        ("gb18030", "你好世界。发票号码是十五。总金额为一千五百元。"),
        ("big5", "你好世界。發票號碼是十五。總金額為一千五百元。"),
        ("cp1253", "Καλημέρα κόσμε, αυτή είναι μια μικρή γραμμή."),
    ],
)
def test_text_in_another_encoding_is_recognised(encoding: str, text: str) -> None:
    assert load(text.encode(encoding), "note.txt").text == text


def test_a_guessed_encoding_is_said_and_a_declared_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    load(b"caf\xe9", "menu.txt")
    assert "'menu.txt' is not in UTF-8: it is read as cp1252" in caplog.text

    caplog.clear()
    page = '<?xml version="1.0" encoding="iso-8859-2"?><a>Příliš</a>'
    assert load(page.encode("iso-8859-2"), "a.xml").text == page
    assert caplog.text == ""
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
        (HTML, "a.pdf", "named like application/pdf but is an HTML page"),
        (b"hello", "a.png", "a text file"),
        (ZIP, "a.docx", "named like a Word document but is a ZIP file"),
        (xlsx([[1]]), "a.docx", "named like a Word document but is an Excel workbook"),
        (docx("x"), "a.pdf", "is a Word document"),
        (docx("x")[:300], "a.docx", "damaged"),
        (b"\xd0\xcf\x11\xe0" + bytes(30), "a.doc", "an old or a protected Office file"),
        (b"BM" + bytes(30), "a.bmp", "BMP"),
        (b"\x7fELF\0\1\2\3", "a.bin", "unknown kind"),
        (b"%PDF-1.7\nbroken", "a.pdf", "damaged"),
        (create_pdf(["x"])[:200], "a.pdf", "damaged"),
        (create_pdf(["x"] * 30)[:-40], "a.pdf", "cut off"),
        (encrypted_pdf("x"), "a.pdf", "encrypted"),
        (encrypted_pdf(""), "a.pdf", "encrypted"),
        (png()[:-8], "a.png", "cut off"),
        (picture("JPEG")[:-2], "a.jpg", "cut off"),
        (picture("WEBP")[:-6], "a.webp", "cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "a.png", "damaged"),
    ],
    ids=[
        "empty",
        "html",
        "text-png",
        "zip-docx",
        "xlsx-docx",
        "docx-pdf",
        "cut-docx",
        "old-doc",
        "bmp",
        "elf",
        "garbage-pdf",
        "cut-pdf",
        "endless-pdf",
        "password",
        "empty-password",
        "cut-png",
        "cut-jpeg",
        "cut-webp",
        "no-size-png",
    ],
)
def test_a_file_that_cannot_be_sent_is_an_error_that_names_it_and_says_why(
    data: bytes, name: str, what: str
) -> None:
    with pytest.raises(ValidationError, match=what) as caught:
        load(data, name)

    assert repr(name) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_a_folder_and_a_pipe_are_errors_that_name_the_path(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"gone\.pdf' does not exist"):
        load(tmp_path / "gone.pdf")
    with pytest.raises(ValidationError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(ValidationError, match="cannot be read"):
        load("a\0b.pdf")
    with pytest.raises(ValidationError, match="cannot be read"):
        load("a" * 5000)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValidationError, match="is a pipe"):
            load(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_file_without_permission_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "locked.txt"
    path.write_text("x")
    path.chmod(0)

    with pytest.raises(ValidationError, match=r"locked\.txt"):
        load(path)


def test_an_id_written_as_a_path_is_told_how_to_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError) as caught:
        load("file-abc")
    assert 'FileId("file-abc")' in (caught.value.hint or "")

    Path("file-abc").write_text("a file after all")
    assert load("file-abc").text == "a file after all"


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        ("https://a.example/b/bill.pdf?x=1", "pdf", "bill.pdf"),
        ("HTTPS://a.example/photo.JPG#top", "image", "photo.JPG"),
        ("https://a.example/report.docx", "office", "report.docx"),
        ("https://a.example/", "pdf", "a.example"),
        (FileUrl("https://a.example/view", kind="image", name="map"), "image", "map"),
        (FileId("file-1"), "pdf", "file-1"),
        (FileId("file-2", kind="image"), "image", "file-2"),
    ],
)
def test_addresses_and_ids_are_taken_as_they_are(source: object, kind: str, name: str) -> None:
    found = load(source)  # type: ignore[arg-type]

    assert (found.kind, found.name, found.is_referred) == (kind, name, True)


@pytest.mark.parametrize("source", ["", 5, None, ("a", "b"), ["a.pdf"], ("a.pdf",)])
def test_what_is_no_file_source_is_an_error(source: object) -> None:
    with pytest.raises(ValidationError, match="not a file"):
        load(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileId(""),
        lambda: FileId("f", kind="film"),  # type: ignore[arg-type]
        lambda: FileUrl("ftp://a.example"),
    ],
)
def test_an_id_or_an_address_that_cannot_be_is_an_error(make: object) -> None:
    with pytest.raises(ValidationError):
        make()  # type: ignore[operator]


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    found = load_all([("a.txt", b"1"), ("a.txt", b"2"), b"3", b"4"], Wanted())

    assert [each.name for each in found] == ["a.txt", "a (2).txt", "document", "document (2)"]


@pytest.mark.parametrize(
    ("data", "media"),
    [(docx("hello"), DOCX), (xlsx([["a", 1]]), XLSX), (SLIDES, PPTX)],
    ids=["docx", "xlsx", "pptx"],
)
def test_an_office_file_goes_as_it_is_where_the_vendor_takes_it(data: bytes, media: str) -> None:
    found = load(data, "report", wanted=Wanted(accepts=Accepts(office=frozenset({media}))))

    assert (found.kind, found.media_type, found.data) == ("office", media, data)
    assert found.text_bytes


def test_an_office_file_becomes_text_where_the_vendor_takes_none() -> None:
    article = load(docx("Invoice 17", "Total: 12 € & more"), "a.docx", wanted=TEXT_ONLY)
    sheet = load(xlsx([["name", "price"], [], ["A, B", 1.5], ["sum", "=B3*2"]]), wanted=TEXT_ONLY)

    assert (article.kind, article.data) == ("text", None)
    assert article.text == "Invoice 17\n\nTotal: 12 € & more\n"
    assert sheet.text == '## Items\n\nname,price\n\n"A, B",1.5\nsum,=B3*2\n\n'


def test_a_workbook_is_never_cut_at_the_rows_that_a_vendor_reads() -> None:
    accepts = Accepts(office=frozenset({XLSX}), sheet_rows=3)

    short = load(xlsx([[1]] * 3), wanted=Wanted(accepts=accepts))
    long = load(xlsx([[1]] * 4), wanted=Wanted(accepts=accepts))

    assert (short.kind, long.kind) == ("office", "text")
    assert (long.text or "").count("1\n") == 4


def test_an_html_page_becomes_text_without_its_scripts() -> None:
    assert load(HTML, "a.html", wanted=TEXT_ONLY).text == "# Bill\n\nTotal: **12 EUR**\n"


@pytest.mark.parametrize(
    ("data", "name", "hidden"),
    [
        (docx("x"), "a.docx", "mammoth"),
        (xlsx([[1]]), "a.xlsx", "openpyxl"),
        (HTML, "a.html", "markdownify"),
    ],
)
def test_a_missing_converter_is_an_error_that_names_the_extra(
    data: bytes, name: str, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, hidden, None)

    with pytest.raises(ValidationError, match=name) as caught:
        load(data, name, wanted=TEXT_ONLY)

    assert "batchata[documents]" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("data", "what"),
    [(SLIDES, "slide show"), (docx(), "holds no text"), (b"  \n ", "holds no text")],
)
def test_what_gives_no_text_is_an_error(data: bytes, what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        load(data, wanted=TEXT_ONLY)


def test_an_office_file_that_unpacks_without_end_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("batchata.documents.office._MOST_UNPACKED", 1_000_000)

    with pytest.raises(ValidationError, match="unpacks to"):
        load(office(word__document="\0" * 1_100_000), "bomb.docx")


def test_more_text_than_any_model_reads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchata.documents.opened_file.MOST_TEXT", 1_500_000)
    path = tmp_path / "log.txt"
    path.write_bytes(b"a line\n" * 250_000)

    with pytest.raises(ValidationError, match=r"'log\.txt' holds more than"):
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


@given(st.binary(max_size=300), st.sampled_from(["a.pdf", "a.txt", "a.png", "a.docx", "a"]))
def test_any_bytes_are_a_document_or_our_error(data: bytes, name: str) -> None:
    try:
        found = load(data, name)
    except ValidationError:
        return

    assert (found.text is None) != (found.data is None)


@given(
    st.binary(max_size=40),
    st.integers(0, 600),
    st.sampled_from([create_pdf(["one", "two"]), docx("one"), png(30, 30), xlsx([["a", 2]])]),
)
def test_any_damage_to_a_file_is_repaired_or_our_error(noise: bytes, at: int, data: bytes) -> None:
    try:
        found = load(data[:at] + noise + data[at + len(noise) :], "a", wanted=TEXT_ONLY)
    except ValidationError:
        return

    assert found.pages or found.kind != "pdf"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_text_written_as_utf_8_comes_back_as_it_was(text: str) -> None:
    if "%PDF-" in text or text.startswith(("GIF8", "\ufeff")) or not text.strip():
        return

    assert load(text.encode(), "a.txt").text == text
