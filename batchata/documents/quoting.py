"""Reads jobs' documents back from their requests, so that quotes can be looked up in them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from batchata.core.citing.passages import Pages
from batchata.core.document import Attachment
from batchata.core.errors import BatchataError
from batchata.core.request_content import Source, content_of
from batchata.core.result import Citation
from batchata.documents.locate import Readable, cite_in
from batchata.documents.pdf import DAMAGE, each_page, reading

#: the name of a prompt that is itself quoted
PROMPT: Final = "prompt"
_MOST_PAGES: Final = 3_000
_MOST_CHARACTERS: Final = 20_000_000
#: texts kept in memory: jobs about the same file follow each other
_KEPT_CHARACTERS: Final = 8_000_000
_NO_TEXT: Final = Pages(())


class QuoteFinder:
    """Looks up quotes in jobs' documents, reading each only once for consecutive jobs about it."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Readable, int]] = OrderedDict()
        self._is_closed = False

    def find(
        self, quotes: Mapping[str, str], body: bytes, attachments: Sequence[Attachment] = ()
    ) -> dict[str, list[Citation]]:
        """One citation for each quote, from the documents of this request; never raises over them.

        Without documents the request itself is quoted. Without quotes the documents are only read.
        """
        asked = content_of(orjson.loads(body), attachments)
        sources = asked.sources or (Source(name=PROMPT, text=asked.question),)
        readable = [self._readable(source) for source in sources]
        if asked.images:
            readable.append(Readable(name="", pages=_NO_TEXT, unread="it may stand in a picture"))
        return cite_in(quotes, readable)

    def close(self) -> None:
        """Stop reading the current document at its next page."""
        self._is_closed = True

    def _readable(self, source: Source) -> Readable:
        if not source.is_pdf and source.text is None:
            why = "its text is not here: only its name, address or id is known"
            return Readable(name=source.name, pages=_NO_TEXT, unread=why)
        key = _key(source)
        if key not in self._known:
            self._known[key] = self._read(source)
            kept = sum(size for _, size in self._known.values())
            while kept > _KEPT_CHARACTERS and len(self._known) > 1:
                kept -= self._known.popitem(last=False)[1][1]
        self._known.move_to_end(key)
        return self._known[key][0]

    def _read(self, source: Source) -> tuple[Readable, int]:
        if source.text is not None:
            return Readable(name=source.name, pages=Pages((source.text,))), len(source.text)
        texts: list[str] = []
        unread = None
        try:
            with _opened(source) as file:
                for text in self._texts(file, source.name):
                    texts.append(text)
            if not any(text.strip() for text in texts):
                unread = "it has no text layer: it is a scan"
        except BatchataError as error:
            unread = error.message
        except OSError as error:
            unread = f"it cannot be read any more: {error.strerror or error}"
        pages = Pages(texts)
        found = Readable(name=source.name, pages=pages, is_paged=True, unread=unread)
        return found, sum(map(len, texts))

    def _texts(self, file: BinaryIO, name: str) -> Iterator[str]:
        size = 0
        with reading(file, name) as reader:
            for number, page in enumerate(each_page(reader)):
                if self._is_closed:
                    raise BatchataError("the run ended before it was read")
                if number >= _MOST_PAGES or size > _MOST_CHARACTERS:
                    raise BatchataError(f"only its first {number:,} pages were read")
                try:
                    text = page.extract_text()
                except DAMAGE:  # one unreadable page does not hide the others
                    text = ""
                size += len(text)
                yield text


def _key(source: Source) -> str:
    if source.text is not None:
        return hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest()
    return source.sha256 or hashlib.sha256(source.data or b"").hexdigest()


@contextmanager
def _opened(source: Source) -> Iterator[BinaryIO]:
    """The file as it was sent, at its start; BatchataError when it has changed."""
    if source.data is not None or source.path is None:
        yield BytesIO(source.data or b"")
        return
    with Path(source.path).open("rb") as file:
        if source.sha256 not in (None, hashlib.file_digest(file, "sha256").hexdigest()):
            raise BatchataError("the file was changed after it was sent")
        file.seek(0)
        yield file
