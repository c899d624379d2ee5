"""Word, Excel and PowerPoint files: how much text they can hold, and the text itself."""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import zip_longest
from typing import Any, BinaryIO, Final, NoReturn
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile, ZipFile, ZipInfo

from batchata.core.document import DOCX, PPTX, XLSX
from batchata.core.errors import ValidationError
from batchata.documents.kinds import said

#: larger than any document a model can read; keeps a ZIP bomb from filling the memory
_MOST_UNPACKED: Final = 512_000_000
#: parts of an office file without text of its author
_STYLE: Final = re.compile(
    r"/(theme|slideLayouts|slideMasters|notesMasters|handoutMasters|_rels)/"
    r"|/(styles|stylesWithEffects|settings|webSettings|fontTable|presProps|viewProps|tableStyles)"
    r"\.xml$"
)
#: how much a date or number may grow when written out, and what separates cells
_PER_CELL: Final = 32
_SHEET: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,  # a ZIP file with a password
    SyntaxError,  # includes ElementTree's ParseError
    TypeError,
    ValueError,
    ExpatError,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class OfficeFacts:
    """What the parts of an office file reveal without converting it."""

    text_bytes: int  #: never less than its text in UTF-8
    sheet_rows: int = 0  #: of the longest sheet


def office_facts(file: BinaryIO, name: str, media: str) -> OfficeFacts:
    """Look into an office file; ValidationError when it is damaged or unreasonably large."""
    try:
        with ZipFile(file) as archive:
            infos = archive.infolist()
            _check_size(infos, name)
            if media == XLSX:
                return _workbook(archive)
            folder = "word/" if media == DOCX else "ppt/"
            return OfficeFacts(sum(map(_words, (i for i in infos if _is_said(i, folder)))))
    except ValidationError:
        raise
    except _DAMAGE as error:
        _damaged(name, error)


def office_text(file: BinaryIO, name: str, media: str) -> str:
    """The file's text as Markdown (a sheet as CSV), through the extra `documents`."""
    if media == PPTX:
        raise ValidationError(
            f"{name!r} is a slide show, which this vendor does not take",
            hint="save it as PDF",
        )
    try:
        return _sheets(file) if media == XLSX else _article(file)
    except ImportError as error:
        raise missing_converter(name, said(media)) from error
    except ValidationError:
        raise
    except _DAMAGE as error:
        _damaged(name, error)


def html_text(text: str, name: str) -> str:
    """An HTML page as Markdown, through the extra `documents`."""
    try:
        from bs4 import BeautifulSoup
        from markdownify import MarkdownConverter
    except ImportError as error:
        raise missing_converter(name, "an HTML page") from error

    page = BeautifulSoup(text, "html.parser")
    for each in page(["script", "style", "template", "noscript", "img", "svg"]):
        each.decompose()
    written = MarkdownConverter(heading_style="ATX", escape_misc=False).convert_soup(page)
    return re.sub(r"\n{3,}", "\n\n", str(written)).strip() + "\n"


def missing_converter(name: str, what: str) -> ValidationError:
    """The error for a file that only the extra `documents` can read."""
    return ValidationError(
        f"{name!r} is {what}, which must be converted to text for this model",
        hint="pip install 'batchata[documents]', or save the file as PDF or plain text",
    )


def _article(file: BinaryIO) -> str:
    import mammoth

    made = mammoth.convert_to_html(
        file, convert_image=mammoth.images.img_element(lambda image: {"src": ""})
    )
    return html_text(made.value, "document")


def _sheets(file: BinaryIO) -> str:
    from openpyxl import load_workbook

    out = StringIO()
    values = load_workbook(file, read_only=True, data_only=True)
    formulas = load_workbook(file, read_only=True)
    try:
        for shown, written in zip(values.worksheets, formulas.worksheets, strict=True):
            shown.reset_dimensions()
            written.reset_dimensions()
            out.write(f"## {shown.title}\n\n")
            csv.writer(out, lineterminator="\n").writerows(_rows(shown, written))
            out.write("\n")
    finally:
        values.close()
        formulas.close()
    return out.getvalue()


def _rows(shown: Any, written: Any) -> Iterator[list[Any]]:
    """The cells of a sheet; a formula that was never evaluated is shown as it is."""
    blank = 0
    for values, formulas in zip_longest(
        shown.iter_rows(values_only=True), written.iter_rows(values_only=True), fillvalue=()
    ):
        row = [
            formula if value is None else value for value, formula in zip_longest(values, formulas)
        ]
        while row and row[-1] is None:
            row.pop()
        if not row:
            blank += 1
            continue
        yield from ([] for _ in range(min(blank, 1)))
        blank = 0
        yield ["" if value is None else _cell(value) for value in row]


def _cell(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _workbook(archive: ZipFile) -> OfficeFacts:
    shared = _shared_sizes(archive)
    total = rows = 0
    for info in archive.infolist():
        if _SHEET.fullmatch(info.filename):
            size, count = _sheet(archive, info, shared)
            total += size + len(info.filename) + 64
            rows = max(rows, count)
        elif info.filename.endswith(".xml") and info.filename.startswith(
            ("xl/comments", "xl/drawings/", "xl/charts/", "xl/tables/", "xl/workbook")
        ):
            total += info.file_size
    return OfficeFacts(total, rows)


def _shared_sizes(archive: ZipFile) -> list[int]:
    try:
        part = archive.open("xl/sharedStrings.xml")
    except KeyError:
        return []
    sizes = []
    with part:
        for _, node in ElementTree.iterparse(part):
            if node.tag.endswith("}si"):
                sizes.append(sum(len(text.encode()) for text in node.itertext()))
                node.clear()
    return sizes


def _sheet(archive: ZipFile, info: ZipInfo, shared: list[int]) -> tuple[int, int]:
    """The most bytes of text that a sheet can hold, and its number of rows."""
    size = rows = 0
    with archive.open(info) as part:
        for _, node in ElementTree.iterparse(part):
            if node.tag.endswith("}c"):
                texts = list(node.itertext())
                size += _PER_CELL + sum(len(text.encode()) for text in texts)
                if node.get("t") == "s" and texts:
                    size += shared[int(texts[-1])]
            elif node.tag.endswith("}row"):
                rows += 1
                node.clear()
    return size, rows


def _is_said(info: ZipInfo, folder: str) -> bool:
    name = info.filename
    return name.startswith(folder) and name.endswith(".xml") and not _STYLE.search(name)


def _words(info: ZipInfo) -> int:
    return info.file_size


def _check_size(infos: list[ZipInfo], name: str) -> None:
    unpacked = sum(info.file_size for info in infos)
    if unpacked > _MOST_UNPACKED:
        raise ValidationError(
            f"{name!r} unpacks to {unpacked:,} bytes, more than {_MOST_UNPACKED:,}",
            hint="split it, or save the part you need as PDF",
        )


def _damaged(name: str, error: Exception) -> NoReturn:
    raise ValidationError(
        f"{name!r} is damaged: {type(error).__name__}: {error}",
        hint="open it in its own program and save it again",
    ) from error
