"""Yes and no: found by the label, since "true" itself is seldom written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from batchata.core.citing.evidence import clause_start
from batchata.core.citing.hits import Hit
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.labels import TOKENS, Form, Label, form, likeness, weight
from batchata.core.citing.words import CONNECTING, NO, YES

_MOST_PLACES: Final = 60
_AFTER: Final = 48
_BEFORE: Final = 24
_BOX: Final = re.compile(r"\[\s?\]|\[[x✓✔]\]|[✓✔☑✅✗✘☐☒❌]")
_SIGN: Final = re.compile(r"\[\s?\]|\[[x✓✔]\]|[✓✔☑✅✗✘☐☒❌]|[^\W\d_]+")
#: words of another meaning unless a mark stands before them
_MARKED: Final = frozenset(("y", "n", "si"))
_WIDE_YES: Final = ("あり", "有", "はい")
_WIDE_NO: Final = ("なし", "無", "いいえ")


def boolean_hits(joined: JoinedText, leaf: int, label: Label, value: bool) -> Iterator[Hit]:
    """Places where the words of `label` stand beside a yes or no that says `value`."""
    main = max(label.own, key=lambda each: (weight(each), len(each.key)), default=None)
    if main is None or len(main.key) < 2:
        return
    part = main.key[: max(4, len(main.stem))]
    seen: set[int] = set()
    place, tried = joined.loose.find(part), 0
    while place >= 0 and tried < _MOST_PLACES:
        tried += 1
        found = _label_at(joined, place, label)
        if found and found[0] not in seen:
            seen.add(found[0])
            said = _said(joined.text, *found)
            if said and said[0] == value:
                yield Hit(leaf, said[1], said[2], found[2])
        place = joined.loose.find(part, place + len(part))


def _label_at(joined: JoinedText, place: int, label: Label) -> tuple[int, int, float] | None:
    """Where the label around `place` begins and ends, and the share of its words found."""
    begin = clause_start(joined.text, place)
    end = joined.text.find("\n", place, place + _AFTER)
    stop = end if end >= 0 else place + _AFTER
    tokens = [
        (form(found.group()), found.start(), found.end())
        for found in TOKENS.finditer(joined.text, max(begin, place - 60), stop)
    ]
    spans, whole, share = [], 0.0, 0.0
    for each in label.own:
        whole += weight(each)
        best = _nearest(each, tokens, place)
        if best:
            share += weight(each)
            spans.append(best)
    if not spans or share < 0.7 * whole or not any(a <= place < b for a, b in spans):
        return None
    return min(a for a, _ in spans), max(b for _, b in spans), share / whole


def _nearest(
    wanted: Form, tokens: list[tuple[Form, int, int]], place: int
) -> tuple[int, int] | None:
    fitting = [(a, b) for token, a, b in tokens if likeness(wanted, token) >= 0.7]
    return min(fitting, key=lambda span: abs(span[0] - place), default=None)


def _said(text: str, start: int, end: int, _share: float) -> tuple[bool, int, int] | None:
    """The yes or no beside a label: before it as in "[x] Insured", or after it."""
    before = text[max(0, start - _BEFORE) : start]
    signs = list(_SIGN.finditer(before))
    offset = max(0, start - _BEFORE)
    if signs and not re.search(r"[.,;:|\n]", before[signs[-1].end() :]):
        meaning = _meaning(signs[-1].group(), "")
        if meaning is not None and (_BOX.fullmatch(signs[-1].group()) or not meaning):
            return meaning, offset + signs[-1].start(), offset + signs[-1].end()
    return _said_after(text, end)


def _said_after(text: str, end: int) -> tuple[bool, int, int] | None:
    after = text[end : end + _AFTER].split("\n")[0]
    for found in _SIGN.finditer(after):
        word = found.group()
        meaning = _meaning(word, after[: found.start()].strip()[-1:])
        if meaning is not None:
            if word == "no" and re.match(r"\.?\s?\d", after[found.end() :]):
                return None
            return meaning, end + found.start(), end + found.end()
        if word not in CONNECTING:
            return None
    return None


def _meaning(word: str, mark: str) -> bool | None:
    word = re.sub(r"\s", "", word)
    if word in _MARKED and mark not in (":", "=", "|"):
        return None
    if word in YES or word.startswith(_WIDE_YES):
        return True
    if word in NO or word.startswith(_WIDE_NO):
        return False
    return None
