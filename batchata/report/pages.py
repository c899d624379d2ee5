"""Text and pictures of PDF pages, from files that may be gone, changed or broken."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from batchata.core.errors import ValidationError
from batchata.core.request_content import Source
from batchata.documents.pdf import page_texts
from batchata.report.pictures import Box, Picture, draw_page, find_boxes, has_painter

#: documents kept in memory: jobs about the same file follow each other
_KEPT: Final = 4
_LARGEST_BYTES: Final = 100_000_000


class Pages:
    """Reads PDFs for the report, each only once while consecutive jobs are about it."""

    def __init__(self, *, pictures: int) -> None:
        self.pictures: list[Picture] = []
        self.asked = 0  #: pages of which a picture was wanted
        self._most = pictures if has_painter() else 0
        self._numbers: dict[tuple[str, int], int] = {}
        self._files: OrderedDict[str, _File] = OrderedDict()

    def texts(self, source: Source, numbers: Iterable[int]) -> dict[int, str]:
        """The text of these pages, without those that can no longer be read."""
        return self._file(source).texts(numbers)

    def picture(self, source: Source, page: int) -> int | None:
        """The number of the page's picture; None when the report has as many as it may."""
        data, key = self._file(source).data, (_key(source), page)
        if data is None or key in self._numbers:
            return self._numbers.get(key)
        self.asked += 1
        drawn = draw_page(data, page) if len(self.pictures) < self._most else None
        if drawn is None:
            return None
        self._numbers[key] = len(self.pictures)
        self.pictures.append(drawn)
        return self._numbers[key]

    def boxes(self, source: Source, page: int, passages: Sequence[str]) -> list[list[Box]]:
        """Where each passage is on a page that has a picture."""
        data, number = self._file(source).data, self._numbers.get((_key(source), page))
        if data is None or number is None:
            return [[] for _ in passages]
        return find_boxes(data, page, passages, self.pictures[number].share)

    def _file(self, source: Source) -> _File:
        key = _key(source)
        if key not in self._files:
            self._files[key] = _File(_read(source), source.name)
            while len(self._files) > _KEPT:
                self._files.popitem(last=False)
        self._files.move_to_end(key)
        return self._files[key]


class _File:
    def __init__(self, data: bytes | None, name: str) -> None:
        self.data = data
        self._name = name
        self._known: dict[int, str] = {}

    def texts(self, numbers: Iterable[int]) -> dict[int, str]:
        wanted = set(numbers)
        missing = wanted - self._known.keys()
        if self.data is not None and missing:
            try:
                self._known.update(page_texts(self.data, self._name, missing))
            except ValidationError:
                self.data = None
        return {number: self._known[number] for number in sorted(wanted & self._known.keys())}


def _key(source: Source) -> str:
    return source.path or hashlib.sha256(source.data or b"").hexdigest()


def _read(source: Source) -> bytes | None:
    if source.data is not None or source.path is None:
        return source.data
    path = Path(source.path)
    try:
        data = path.read_bytes() if path.stat().st_size <= _LARGEST_BYTES else b""
    except OSError:
        return None
    # a file changed since is another document, and what it says proves nothing
    is_same = source.sha256 in (None, hashlib.sha256(data).hexdigest())
    return data if data and is_same else None
