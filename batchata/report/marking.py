"""Finds passages in a text, and cuts the text up at them. Pure."""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

#: characters of context around a passage, in texts too long to be shown whole
AROUND: Final = 600
SHOWN_WHOLE: Final = 6_000
_SOFT: Final = frozenset("\u00ad\u200b\u200c\u200d\u2060\ufeff")
#: curly quotes and dashes, as in people's texts and PDFs
_ALIKE: Final = str.maketrans(
    "\u2018\u2019\u201a\u201c\u201d\u201e\u2010\u2011\u2012\u2013\u2014\u2212",
    "'''\"\"\"------",
)
#: lines and sentences shorter than this occur anywhere, and prove nothing
_TELLING: Final = 12
#: scripts from here on, such as Thai and Chinese, have no spaces between words
_UNSPACED: Final = "\u0e00"


class Span(NamedTuple):
    """A stretch of a text that a citation rests on."""

    start: int
    end: int
    citation: int


def find(text: str, passage: str, hint: int | None = None) -> list[tuple[int, int]]:
    """Where `passage` occurs in `text`, ignoring white space, case and kinds of quotes.

    `hint` is where it should begin. Of a passage that is not there as a whole, its lines are
    looked for; empty when nothing is found.
    """
    flat, places = _flat(text)
    whole = _find_flat(text, flat, places, passage, hint)
    if whole is not None:
        return [whole]
    pieces = re.split(r"\n+|(?<=[.;!?])\s+", passage)
    found = [
        place
        for piece in pieces
        if len(_squeezed(piece)) >= _TELLING
        and (place := _find_flat(text, flat, places, piece, hint)) is not None
    ]
    return found if len(pieces) > 1 else []


def cut(text: str, spans: Sequence[Span]) -> list[list[Any]]:
    """The text as [text] and [text, citations] pieces; [None] stands for a part left out."""
    pieces: list[list[Any]] = []
    windows = _windows(len(text), spans)
    for start, end in windows:
        if start > (0 if not pieces else -1):
            pieces.append([None])
        pieces.extend(_pieces(text, start, end, spans))
    if windows and windows[-1][1] < len(text):
        pieces.append([None])
    return pieces


def _pieces(text: str, start: int, end: int, spans: Iterable[Span]) -> Iterable[list[Any]]:
    inside = [span for span in spans if span.start < end and span.end > start]
    edges = {start, end}
    for span in inside:
        edges.update((max(start, span.start), min(end, span.end)))
    ordered = sorted(edges)
    for left, right in pairwise(ordered):
        over = sorted({s.citation for s in inside if s.start <= left and s.end >= right})
        yield [text[left:right], over] if over else [text[left:right]]


def _windows(size: int, spans: Sequence[Span]) -> list[tuple[int, int]]:
    if size <= SHOWN_WHOLE:
        return [(0, size)]
    if not spans:
        return [(0, AROUND * 2)]
    windows: list[tuple[int, int]] = []
    for span in sorted(spans):
        start, end = max(0, span.start - AROUND), min(size, span.end + AROUND)
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], max(end, windows[-1][1]))
        else:
            windows.append((start, end))
    return windows


def _find_flat(
    text: str, flat: str, places: array[int], passage: str, hint: int | None
) -> tuple[int, int] | None:
    wanted = _squeezed(passage)
    if not wanted:
        return None
    best: tuple[bool, int, int, int] | None = None
    at = flat.find(wanted)
    while at >= 0:
        start, end = places[at], places[at + len(wanted) - 1] + 1
        splits = _splits_word(text, start) or _splits_word(text, end)
        found = (splits, abs(start - hint) if hint is not None else 0, start, end)
        best = found if best is None else min(best, found)
        if not splits and (hint is None or start >= hint):
            break
        at = flat.find(wanted, at + 1)
    if best is None or (best[0] and len(wanted) < _TELLING):
        return None
    return best[2], best[3]


def _splits_word(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return False
    return all(each.isalnum() and each < _UNSPACED for each in text[place - 1 : place + 1])


def _squeezed(text: str) -> str:
    return _flat(text)[0]


@lru_cache(maxsize=32)
def _flat(text: str) -> tuple[str, array[int]]:
    """The text reduced to what matters, and where each of its characters came from."""
    kept: list[str] = []
    places = array("I")
    for index, character in enumerate(text):
        if character.isspace() or character in _SOFT:
            continue
        for each in _plain(character):
            if not each.isspace():
                kept.append(each)
                places.append(index)
    return "".join(kept), places


def _plain(character: str) -> str:
    if character.isascii():
        return character.lower()
    return unicodedata.normalize("NFKC", character.translate(_ALIKE)).casefold()
