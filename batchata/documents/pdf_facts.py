"""What a PDF's pages hold: whether there is text to quote, and at most how much."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from batchata.core.errors import ValidationError
from batchata.documents.pdf import DAMAGE, count_pages, each_page, reading

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

log = logging.getLogger("batchata")

#: the page images of a longer PDF alone fill every model's context
_MEASURED_PAGES: Final = 50
#: more text than fits on a printed page: the bound of a page that was not measured
_PAGE_BYTES: Final = 20_000
#: with this much drawing on each page, only reading the text tells how much of it is text
_DENSE_BYTES: Final = 50_000
#: most bytes of UTF-8 for one code of a font
_PER_CODE: Final = 3
_SAMPLED_PAGES: Final = 50
_NESTED_FORMS: Final = 4


@dataclass(frozen=True, slots=True)
class PdfFacts:
    """A PDF that can be read."""

    pages: int
    text_bytes: int | None = None  #: set if it can be more than printed pages hold


def pdf_facts(file: BinaryIO, name: str, *, is_cited: bool) -> PdfFacts:
    """Look into a PDF; ValidationError when it cannot be read, or has no text to cite."""
    file.seek(0)
    pages = count_pages(file, name)
    with reading(file, name) as reader:
        if is_cited:
            _check_text(reader, name, pages)
        return PdfFacts(pages, _text_bytes(reader, pages))


def _text_bytes(reader: PdfReader, pages: int) -> int | None:
    """Half the most bytes of text there can be; None when the usual bound per page holds."""
    if pages > _MEASURED_PAGES:
        return None
    written = 0
    for page in each_page(reader):
        size = _written_bytes(page)
        if size is None:
            return None
        written += size
    most = _PER_CODE * written
    if most <= _PAGE_BYTES * pages:
        return None
    if written > _DENSE_BYTES * pages:
        texts = [_text(page) for page in each_page(reader)]
        if None not in texts:
            return sum(len((text or "").encode("utf-8", "replace")) for text in texts)
    return -(-most // 2)


def _written_bytes(page: PageObject) -> int | None:
    """Bytes of the page's drawing commands, including text; None when they cannot be read."""
    try:
        contents = page.get_contents()
        own = len(contents.get_data()) if contents is not None else 0
        return own + sum(len(form.get_data()) for form in _forms(page, _NESTED_FORMS))
    except DAMAGE:
        return None


def _forms(holder: Any, depth: int) -> Iterator[Any]:
    resources = holder.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    if objects is None or depth == 0:
        return
    for each in objects.get_object().values():
        form = each.get_object()
        if form.get("/Subtype") == "/Form":
            yield form
            yield from _forms(form, depth - 1)


def _text(page: PageObject) -> str | None:
    try:
        return page.extract_text()
    except DAMAGE:
        return None


def _check_text(reader: PdfReader, name: str, pages: int) -> None:
    """Raise ValidationError for a scan; warn when some of the pages are scanned."""
    step = max(1, -(-pages // _SAMPLED_PAGES))
    looked = range(0, pages, step)
    pages_looked = zip(looked, each_page(reader, looked), strict=True)
    bare = [number + 1 for number, page in pages_looked if not _has_text(page)]
    if len(bare) == len(looked):
        raise ValidationError(
            f"PDF {name!r} has no text layer: it is a scan, and its words cannot be cited",
            hint="run text recognition on it (as with: ocrmypdf in.pdf out.pdf), or leave out "
            "enable_citations",
        )
    if bare:
        shown = ", ".join(map(str, bare[:5])) + (", …" if len(bare) > 5 else "")
        log.warning(
            "PDF %r: %d of %d pages looked at have no text layer (%s): nothing on them can be "
            "cited",
            name,
            len(bare),
            len(looked),
            shown,
        )


def _has_text(page: PageObject) -> bool:
    text = _text(page)
    return text is None or bool(text.strip())
