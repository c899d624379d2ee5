"""PDF files: counting pages, finding text, and making small ones from text."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, BinaryIO, Final

from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

#: what pypdf raises, besides its own errors, when a file is damaged
DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
#: one reader at a time, so that the logger's level is always restored
_QUIET: Final = RLock()


def count_pages(data: bytes | BinaryIO, name: str) -> int:
    """Pages of a PDF; ValidationError, naming the file, when it is encrypted or damaged."""
    with reading(data, name) as reader:
        pages = reader.get_num_pages()
    if not pages:
        raise ValidationError(
            f"PDF {name!r} has no pages", hint="open it in a viewer and save it again"
        )
    return pages


def is_textual_pdf(
    path: str | Path, text_page_thresh: float = 0.2, min_chars_per_page: int = 20
) -> float:
    """Share of pages with text, 0 to 1; halved when more than `text_page_thresh` of them lack it.

    Also 0 when the file cannot be read.
    """
    try:
        texts = _page_texts(path)
    except ValidationError:
        return 0.0
    return _score(texts, text_page_thresh, min_chars_per_page)


def extract_text_from_pdf(path: str | Path) -> str:
    """The text layer of all pages, with a line break between pages."""
    return "\n".join(_page_texts(path))


def page_texts(data: bytes, name: str, numbers: Iterable[int]) -> dict[int, str]:
    """The text layer of these pages, counted from 1; pages that do not exist are left out."""
    with reading(data, name) as reader:
        count = reader.get_num_pages()
        wanted = sorted({number for number in numbers if 1 <= number <= count})
        indexes = [number - 1 for number in wanted]
        texts = [page.extract_text() for page in each_page(reader, indexes)]
        return dict(zip(wanted, texts, strict=True))


def get_pdf_info(path: str | Path) -> tuple[int, bool, str]:
    """Number of pages, whether most of them have text, and the text."""
    texts = _page_texts(path)
    return len(texts), _score(texts, 0.2, 20) > 0.5, "\n".join(texts)


def create_pdf(pages: list[str]) -> bytes:
    """A small PDF with one page for each text, for tests and examples.

    Raises ValidationError for characters outside the Western code page: its font has no others.
    """
    if not pages:
        raise ValidationError("a PDF needs a page", hint='write create_pdf(["text of page 1"])')
    count = len(pages)
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for index, text in enumerate(pages):
        content = _page_content(text)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * index)
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return _file(objects)


def _page_content(text: str) -> bytes:
    lines = []
    for line in text.splitlines():
        try:
            shown = line.expandtabs(4).encode("cp1252")
        except UnicodeEncodeError as error:
            raise ValidationError(
                f"character {line[error.start]!r} is not in the PDF's font",
                hint="use Western characters, or make the PDF with another library",
            ) from error
        for mark in (b"\\", b"(", b")"):
            shown = shown.replace(mark, b"\\" + mark)
        lines.append(b"(%b) Tj" % shown)
    # long pages get a smaller font, so that every line fits
    size = max(1, min(11, 780 // max(1, len(lines)) - 2))
    return b"BT /F1 %d Tf %d TL 50 800 Td\n%b\nET" % (size, size + 2, b"\nT*\n".join(lines))


def _file(objects: list[bytes]) -> bytes:
    out = BytesIO()
    out.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, each in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, each))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % start)
    return out.getvalue()


def read_pdf(path: str | Path) -> bytes:
    """The bytes of a PDF; ValidationError for a file that cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValidationError(
            f"PDF {str(path)!r} cannot be read: {error.strerror}", hint="check the path"
        ) from error


def _page_texts(path: str | Path) -> list[str]:
    with reading(read_pdf(path), Path(path).name) as reader:
        return [page.extract_text() for page in each_page(reader)]


def _score(texts: list[str], text_page_thresh: float, min_chars_per_page: int) -> float:
    if not texts:
        return 0.0
    textual = sum(len("".join(text.split())) >= min_chars_per_page for text in texts)
    share = textual / len(texts)
    return share / 2 if 1 - share > text_page_thresh else share


@contextmanager
def reading(data: bytes | BinaryIO, name: str) -> Iterator[PdfReader]:
    """A reader of a PDF; whatever it fails on becomes one error that names the file."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    with _quiet():
        try:
            reader = PdfReader(BytesIO(data) if isinstance(data, bytes) else data)
            try:
                if reader.is_encrypted:
                    raise _encrypted(name)
                yield reader
            finally:
                reader.close()
        except ValidationError:
            raise
        except DependencyError as error:
            raise _encrypted(name) from error
        except (PyPdfError, *DAMAGE) as error:
            raise ValidationError(
                f"PDF {name!r} is damaged: {type(error).__name__}: {error}",
                hint="open it in a viewer and save it again",
            ) from error


def each_page(reader: PdfReader, indexes: Iterable[int] | None = None) -> Iterator[PageObject]:
    """The pages one by one, all or those of `indexes`.

    A reader keeps all it has read, even pictures; that is dropped with each next page.
    """
    for index in range(reader.get_num_pages()) if indexes is None else indexes:
        yield reader.pages[index]
        reader.resolved_objects.clear()


def _encrypted(name: str) -> ValidationError:
    return ValidationError(
        f"PDF {name!r} is encrypted, which vendors refuse",
        hint="save it without a password, as with: qpdf --decrypt --password=... in.pdf out.pdf",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pypdf's warnings about repaired files out of the user's log, for this call only."""
    logger = logging.getLogger("pypdf")
    with _QUIET:
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)
