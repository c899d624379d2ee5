"""Where a quote stands in the pages of a text, however the pages break and spell it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from batchata.core.citing.bare import LEFT_OUT, bare
from batchata.core.citing.near_quotes import says_the_same

_LEFT_OUT_ASCII: Final = frozenset(
    char for char in map(chr, range(128)) if LEFT_OUT.fullmatch(char)
)
_CLUSTER: Final = re.compile("(?s).[\u0300-\u036f\u3099\u309a]*")
_DIGITS: Final = re.compile(r"\d+")
_ELLIPSIS: Final = re.compile(r"\s*(?:\[?\.\.\.\]?|\[?…\]?)\s*")
_SHORT: Final = 12
_FUZZY_LEAST: Final = 24
_LONGEST: Final = 20_000
_GRAM: Final = 5
_SEED: Final = 8
_MOST_SEEDS: Final = 24
_MOST_WINDOWS: Final = 8
_NEAR: Final = 0.7
_APART: Final = 5_000
_MOST_TRIES: Final = 200
_MOST_NEAR: Final = 4
#: words may have moved by this share of a quote
_SLACK: Final = 8
#: a code as HX-998-B, of which a part is another code
_CODE: Final = re.compile(r"[^\W_]+(?:[-_/][^\W_]+)+")
_RANGE: Final = re.compile(r"\d+[-/]\d+")
_LONGEST_CODE: Final = 40
_MINUS: Final = re.compile("(?:^|[\\s(])[-\u2212\u2013]\\s?[$\u20ac\u00a3]?\\d")


@dataclass(frozen=True, slots=True)
class Location:
    """Where a passage stands: characters `[start, end)` of page `page`, counted from 1."""

    page: int
    start: int
    end: int
    #: 1 to the letter but for white space, hyphens, quotes and case; less when words differ
    score: float = 1.0
    #: another page when it runs over the end of the first; `end` is on that page then
    end_page: int = 0

    def __post_init__(self) -> None:
        if not self.end_page:
            object.__setattr__(self, "end_page", self.page)


def locate(quote: str, pages: Sequence[str]) -> Location | None:
    """Where `quote` stands in `pages`; None when it does not."""
    return Pages(pages).locate(quote)


class Pages:
    """Pages that many quotes are looked for in."""

    def __init__(self, pages: Sequence[str]) -> None:
        self._pages = pages
        self._bare = [bare(page) for page in pages]
        self._places: dict[int, _Places] = {}

    def locate(self, quote: str) -> Location | None:
        """Where `quote` stands: to the letter, else over a page's end, else nearly so."""
        wanted = bare(quote[:_LONGEST])
        if not any(char.isalnum() for char in wanted):
            return None
        return (
            self._exact(quote, wanted)
            or self._over_the_end(wanted)
            or self._in_parts(quote)
            or self._near(quote, wanted)
        )

    def text(self, found: Location) -> str:
        """The pages' own words at a place."""
        if found.end_page == found.page:
            return self._pages[found.page - 1][found.start : found.end]
        first, last = self._pages[found.page - 1], self._pages[found.end_page - 1]
        return f"{first[found.start :]}\n{last[: found.end]}"

    def _exact(self, quote: str, wanted: str) -> Location | None:
        for number, text in enumerate(self._bare):
            place, tried = text.find(wanted), 0
            while place >= 0 and tried < _MOST_TRIES:
                start, end = self._map(number).span(place, place + len(wanted))
                if _is_whole(self._pages[number], start, end, quote):
                    return Location(number + 1, start, end)
                tried += 1
                place = text.find(wanted, place + 1)
        return None

    def _over_the_end(self, wanted: str) -> Location | None:
        for number in range(len(self._bare) - 1):
            first, second = self._bare[number][-len(wanted) :], self._bare[number + 1]
            place = (first + second[: len(wanted)]).find(wanted)
            if place < 0 or not 0 < len(first) - place < len(wanted):
                continue
            offset = len(self._bare[number]) - len(first)
            start, _ = self._map(number).span(offset + place, offset + len(first))
            rest = place + len(wanted) - len(first)
            _, end = self._map(number + 1).span(0, rest)
            if _is_word_start(self._pages[number], start):
                return Location(number + 1, start, end, end_page=number + 2)
        return None

    def _in_parts(self, quote: str) -> Location | None:
        """A quote with "…" in it: all its parts, in order, on one page."""
        parts = [bare(part) for part in _ELLIPSIS.split(quote)]
        parts = [part for part in parts if part]
        if len(parts) < 2 or any(len(part) < 8 for part in parts):
            return None
        for number, text in enumerate(self._bare):
            first = place = text.find(parts[0])
            for part in parts[1:]:
                place = text.find(part, place + 1, place + _APART) if place >= 0 else -1
            if place >= 0:
                start, end = self._map(number).span(first, place + len(parts[-1]))
                return Location(number + 1, start, end, 0.95)
        return None

    def _near(self, quote: str, wanted: str) -> Location | None:
        """The best place where nearly all of it stands, with every number and every "not"."""
        if len(wanted) < _FUZZY_LEAST:
            return None
        grams = _grams(wanted)
        near = [
            (share, -number, start, end)
            for number, text in enumerate(self._bare)
            for start, end in _windows(wanted, text)
            if (share := _shared(grams, _grams(text[start:end]))) >= _NEAR
        ]
        for share, number, low, high in sorted(near, reverse=True)[:_MOST_NEAR]:
            page = self._pages[-number]
            place = _trimmed(wanted, self._bare[-number], low, high)
            start, end = _to_words(page, *self._map(-number).span(*place))
            slack = len(quote) // _SLACK
            around = page[max(0, start - slack) : end + slack]
            if not _is_negated(page, start) and says_the_same(quote, page[start:end], around):
                return Location(1 - number, start, end, round(min(share, 0.99), 3))
        return None

    def _map(self, number: int) -> _Places:
        if number not in self._places:
            self._places[number] = _Places(self._pages[number])
        return self._places[number]


class _Places:
    """From places in a bare text to places in the text itself."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        if text.isascii():
            self._starts = [place for place, char in enumerate(text) if char not in _LEFT_OUT_ASCII]
            self._ends = [place + 1 for place in self._starts]
            return
        for found in _CLUSTER.finditer(text):
            for _ in bare(found.group()):
                self._starts.append(found.start())
                self._ends.append(found.end())

    def span(self, start: int, end: int) -> tuple[int, int]:
        if not self._starts:
            return 0, 0
        last = len(self._starts) - 1
        return self._starts[min(start, last)], self._ends[min(max(end - 1, 0), last)]


def _is_whole(page: str, start: int, end: int, quote: str) -> bool:
    """True unless the place is a part of a longer word or number, or joins what is apart."""
    if not (_is_word_start(page, start) and _is_word_end(page, end)):
        return False
    if _cuts_code(page, start) or _cuts_code(page, end) or _is_negated(page, start):
        return False
    if len(_MINUS.findall(quote)) > len(_MINUS.findall(page[max(0, start - 2) : end])):
        return False
    if len(quote) >= _SHORT:
        return True
    # "15" is not "1" at a line's end and "5" on the next
    return _DIGITS.findall(quote) == _DIGITS.findall(page[start:end])


def _is_word_start(page: str, start: int) -> bool:
    if start == 0:
        return True
    if page[start - 1] in ".," and page[start].isdigit() and page[max(0, start - 2)].isdigit():
        return False
    return not _joins(page[start - 1], page[start])


def _is_word_end(page: str, end: int) -> bool:
    if end >= len(page):
        return True
    if page[end] in ".," and page[end - 1].isdigit() and page[end + 1 : end + 2].isdigit():
        return False
    return not _joins(page[end - 1], page[end])


def _is_negated(page: str, start: int) -> bool:
    """True for "payment" in "non-payment"."""
    return page[max(0, start - 4) : start].casefold() == "non-"


def _cuts_code(page: str, place: int) -> bool:
    """True inside a code with digits in it, at one of its signs.

    A range of numbers is none, and neither is a number joined to a word, as in "5-year".
    """
    if not (_is_sign(page, place) or _is_sign(page, place - 1)):
        return False
    low = max(0, place - _LONGEST_CODE)
    for found in _CODE.finditer(page, low, place + _LONGEST_CODE):
        if found.start() < place < found.end():
            code = found.group()
            beside = (page[found.start() : place], page[place : found.end()])
            return (
                any(map(str.isdigit, code))
                and not _RANGE.fullmatch(code)
                and not any(part.strip("-_/").isalpha() and part.islower() for part in beside)
            )
    return False


def _is_sign(page: str, place: int) -> bool:
    return 0 <= place < len(page) and page[place] in "-_/"


def _joins(left: str, right: str) -> bool:
    if left.isdigit() and right.isdigit():
        return True
    return left.isalnum() and right.isalnum() and left < "\u2e80" and right < "\u2e80"


def _grams(text: str) -> Counter[str]:
    return Counter(text[place : place + _GRAM] for place in range(len(text) - _GRAM + 1))


def _shared(wanted: Counter[str], found: Counter[str]) -> float:
    whole = sum(wanted.values())
    return sum((wanted & found).values()) / whole if whole else 0.0


def _windows(wanted: str, text: str) -> list[tuple[int, int]]:
    """Stretches of `text` that several seeds of the quote point to, the most first."""
    step = max(1, (len(wanted) - _SEED) // _MOST_SEEDS)
    slack = max(6, len(wanted) // 12)
    votes: Counter[int] = Counter()
    for offset in range(0, len(wanted) - _SEED + 1, step):
        seed = wanted[offset : offset + _SEED]
        place, tried = text.find(seed), 0
        while place >= 0 and tried < 20:
            votes[max(0, place - offset) // (2 * slack)] += 1
            tried += 1
            place = text.find(seed, place + 1)
    best = [bucket for bucket, count in votes.most_common(_MOST_WINDOWS) if count > 1]
    starts = [bucket * 2 * slack for bucket in best]
    return [(max(0, each - slack), each + len(wanted) + 3 * slack) for each in starts]


def _trimmed(wanted: str, text: str, low: int, high: int) -> tuple[int, int]:
    """The window without what stands around the quote."""
    window = text[low:high]
    first = next(
        (
            max(0, place - offset)
            for offset in range(0, len(wanted) - _SEED, 2)
            if (place := window.find(wanted[offset : offset + _SEED])) >= 0
        ),
        0,
    )
    last = next(
        (
            place + offset
            for offset in range(_SEED, len(wanted), 2)
            if (place := window.rfind(wanted[-offset:][:_SEED])) >= 0
        ),
        len(window),
    )
    return low + first, low + min(max(last, first + 1), len(window))


def _to_words(page: str, start: int, end: int) -> tuple[int, int]:
    for _ in range(30):
        if start > 0 and _joins(page[start - 1], page[start]):
            start -= 1
        if end < len(page) and _joins(page[end - 1], page[end]):
            end += 1
    return start, end
