"""How strongly the words around a value say that it belongs to a field."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.labels import TOKENS, Form, Label, form, likeness, weight
from batchata.core.citing.tables import Tables
from batchata.core.citing.words import CONNECTING, CURRENCIES, DROPPED

_REACH: Final = 240
_AHEAD: Final = 60
_HEADING_LINES: Final = 8
_HARD: Final = re.compile(r"\n|;|\||。|•|[!?]\s|\.\s")
_ABBREVIATED: Final = re.compile(
    r"(?:^|[\s(])(?:no|nr|num|núm|inc|corp|ltd|co|st|mr|mrs|ms|dr|prof|approx|ca|art|sec|fig|vs|"
    r"etc|ref|tel|bzw|inkl|zzgl|excl|incl|mio|mrd|n|nº|p|pp|vol|ed|u\.s|s\.a|s\.l|b\.v|\w)$"
)
_RIGHT_END: Final = re.compile(r",(?!\d)|;|\n|\||。|、|\d|\(|\band\b|\bund\b|\bet\b|\by\b|\. ")
_DIGITS: Final = re.compile(r"\d[\d.,]*")
_STRICT: Final = re.compile(r"[:=|]\s*[^\w\s]*\s*$|\s-\s*[^\w\s]*$|はが?$")
_PHRASE_START: Final = re.compile(r",(?!\d)|;|\||、")
_NOTE: Final = re.compile(r"\([^()]*\)\s*(?=[:=])")

NEAR: Final = 1.0
CONTINUED: Final = 0.8
FAR: Final = 0.5


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the words around a value say."""

    score: float
    #: the label is the field's own path
    is_path: bool = False
    #: the label names something else
    is_against: bool = False


@dataclass(frozen=True, slots=True)
class Around:
    """The words around one place; found once, asked for several fields."""

    near: tuple[Form, ...]
    far: tuple[Form, ...]
    right: tuple[Form, ...]
    phrase: str
    is_strict: bool
    cells: tuple[tuple[Form, ...], ...]
    headings: tuple[Form, ...]

    @property
    def is_label_before(self) -> bool:
        """True when words before the value may be its label."""
        return bool(self.near) or bool(self.cells)


class Surroundings:
    """Looks around places of one joined text."""

    def __init__(
        self, joined: JoinedText, spans: Iterable[tuple[int, int]], paths: set[str]
    ) -> None:
        self._text = joined.text
        self._tables = Tables(joined.text)
        self._spans = sorted(set(spans))
        self._paths = paths
        self._known: dict[tuple[int, int], Around] = {}

    def evidence(self, label: Label, start: int, end: int) -> Evidence:
        """How strongly `label` stands at the value in `[start, end)`."""
        around = self.around(start, end)
        if around.is_strict and (named := _path_in(around.phrase, self._paths)):
            is_path = named == label.path
            return Evidence(1.0 if is_path else 0.0, is_path=is_path, is_against=not is_path)
        best = _score(label.own, label, around)
        for other in label.others:
            best = max(best, _score(other, label, around))
        return Evidence(best, is_against=best < 0.7 and _is_against(label, around))

    def around(self, start: int, end: int) -> Around:
        """The words around `[start, end)`."""
        if (start, end) not in self._known:
            self._known[start, end] = self._look(start, end)
        return self._known[start, end]

    def _look(self, start: int, end: int) -> Around:
        text = self._text
        begin = clause_start(text, start)
        left = text[begin:start]
        cut = self._last_value_end(begin, start)
        near_text = text[cut:start]
        bare = _NOTE.sub("", near_text)
        parts = _PHRASE_START.split(bare)
        phrase = next((part for part in reversed(parts) if _content(part)), "")
        near = _content(near_text)
        cells = self._tables.labels(start)
        is_strict = bool(_STRICT.search(bare)) or bool(cells)
        if cells:
            near, left, cut = (), "", begin
        right = text[end : end + _AHEAD]
        stop = _RIGHT_END.search(right)
        right = right[: stop.start()] if stop else right
        return Around(
            near=near,
            far=_content(left[: cut - begin]),
            right=_content(right),
            phrase=phrase.strip(),
            is_strict=is_strict,
            cells=tuple(_content(cell) for cell in cells),
            headings=_headings(text, begin),
        )

    def _last_value_end(self, begin: int, start: int) -> int:
        """Where the last other value before `start` in the clause ends."""
        cut = begin
        for found in _DIGITS.finditer(self._text, begin, start):
            cut = max(cut, found.end())
        place = bisect_left(self._spans, (start, 0))
        for first, last in reversed(self._spans[max(0, place - 12) : place]):
            if first >= begin and last <= start:
                cut = max(cut, last)
        return cut


def clause_start(text: str, start: int) -> int:
    """Where the clause, line or cell that holds `start` begins."""
    floor = max(0, start - _REACH)
    begin = floor
    for found in _HARD.finditer(text, floor, start):
        is_stop = found.group()[0] == "."
        if is_stop and _ABBREVIATED.search(text, max(floor, found.start() - 12), found.start()):
            continue
        if found.group() == "\n" and not text[found.end() : start].strip(" -*#>\"'($€£¥"):
            before = text[floor : found.start()].rstrip()
            if before.endswith(":"):
                continue
        begin = found.end()
    return begin


def content_of(text: str) -> tuple[Form, ...]:
    """The words of a text that may be a label."""
    return _content(text)


def _content(text: str) -> tuple[Form, ...]:
    words = TOKENS.findall(text)
    return tuple(
        form(word)
        for word in words
        if word not in CONNECTING and not (len(word) == 3 and word in CURRENCIES)
    )


def _headings(text: str, begin: int) -> tuple[Form, ...]:
    """Words of the nearest line above that is a heading."""
    place = text.rfind("\n", max(0, begin - _REACH), begin)
    for _ in range(_HEADING_LINES):
        if place < 0:
            break
        above = text.rfind("\n", max(0, place - _REACH), place)
        line = text[above + 1 : place].strip()
        if line.startswith("#") or (line.endswith(":") and len(line) < 80):
            return _content(line)
        place = above
    return ()


def _path_in(phrase: str, paths: set[str]) -> str:
    """The path a label phrase is, when it is one of the answer's that words cannot be."""
    words = phrase.rstrip(" :=\"'($€£¥-").lstrip(" -*•>\"'#").rstrip()
    return words if words in paths and not words.isalpha() else ""


def _score(own: Sequence[Form], label: Label, around: Around) -> float:
    weights = [weight(each) for each in own]
    whole = sum(weights)
    if not whole:
        return 0.0
    found = sum(w * _found(each, around) for each, w in zip(own, weights, strict=True))
    recall = found / whole
    if label.parents:
        recall = _with_parents(recall, label, around)
    return min(1.0, recall * _precision(own, label, around))


def _with_parents(recall: float, label: Label, around: Around) -> float:
    above = [_found(each, around, is_parent=True) for each in label.parents]
    parents = sum(above) / len(above)
    if not label.is_generic and not recall:
        return 0.0
    share = 0.5 if label.is_generic else 0.2
    return recall * (1 - share) + parents * share if recall else 0.6 * parents


def _found(wanted: Form, around: Around, *, is_parent: bool = False) -> float:
    """How surely a word of the label is there: best close before the value."""
    best = NEAR * _best(wanted, around.near)
    for place, cell in enumerate(around.cells):
        best = max(best, (0.97 if place == 0 else 0.85) * _best(wanted, cell))
    if best < CONTINUED:
        factor = FAR if around.near else CONTINUED
        best = max(best, factor * _best(wanted, around.far))
    if best < 0.9:
        factor = 0.6 if around.is_label_before else 0.92
        best = max(best, factor * _best(wanted, around.right))
    if is_parent and best < 0.9:
        best = max(best, 0.9 * _best(wanted, around.headings))
    return best


def _best(wanted: Form, words: Sequence[Form]) -> float:
    return max((likeness(wanted, word) for word in words), default=0.0)


def _precision(own: Sequence[Form], label: Label, around: Around) -> float:
    """Less when the label says more than the field's name does."""
    words = _phrase_words(around)
    if not words:
        return 1.0
    known = [*own, *label.parents]
    matched = sum(any(likeness(each, word) >= 0.7 for each in known) for word in words)
    share = matched / len(words)
    return 0.7 + 0.3 * share if around.is_strict else 0.85 + 0.15 * share


def _phrase_words(around: Around) -> tuple[Form, ...]:
    if around.cells:
        return around.cells[0]
    return _content(around.phrase)[-6:]


def _is_against(label: Label, around: Around) -> bool:
    """True when a clear label has words of its own and misses all that tell this field apart."""
    words = _phrase_words(around)
    if not around.is_strict or not words:
        return False
    telling = [each for each in label.own if weight(each) >= 0.5] or list(label.own)
    everything = [*words, *around.far, *around.right]
    if any(likeness(each, word) >= 0.7 for each in telling for word in everything):
        return False
    known = [*label.own, *label.parents]
    return any(
        weight(word) >= 0.5
        and word.key not in DROPPED
        and not any(likeness(each, word) >= 0.7 for each in known)
        for word in words
    )
