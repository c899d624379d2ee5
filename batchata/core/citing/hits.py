"""Where a text says the value of a field, by the type of the value."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Final

from batchata.core.citing.dates import date_fit, runs_of, time_fit, time_runs
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.leaves import Leaf
from batchata.core.citing.numbers import (
    TOKEN,
    as_decimal,
    bare_values,
    fit,
    number_words,
    signature,
    signatures,
)
from batchata.core.citing.plain import is_bounded, loose, plain
from batchata.core.citing.words import LEGAL_FORMS

#: places kept in all, and for one field at least: in more a value tells nothing
_MOST_PLACES: Final = 4_000
_FEWEST_PLACES: Final = 40
_MONEY_TEXT: Final = re.compile(
    r"\s*(-|\()?\s*(?:[$€£¥]|[a-z]{3}\s)?\s*(\d[\d.,' ]*)\s*(%|[$€£¥]|[a-z]{3})?\s*\)?\s*"
)
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-][\d:]+)?)?")
_SHINGLE: Final = 5
_LONG: Final = 6
_LOOKED_AT: Final = 1_200
#: numbers written as words are searched so far into a text: further it would take too long
_MOST_SPELLED: Final = 400_000


@dataclass(frozen=True, slots=True)
class Hit:
    """A place that says a field's value."""

    leaf: int
    start: int
    end: int
    quality: float


@dataclass(slots=True)
class Wanted:
    """What to look for; made once for an answer, used on each joined."""

    numbers: dict[str, list[tuple[int, Decimal]]] = field(default_factory=lambda: defaultdict(list))
    days: dict[str, list[tuple[int, date]]] = field(default_factory=lambda: defaultdict(list))
    hours: dict[str, list[tuple[int, time]]] = field(default_factory=lambda: defaultdict(list))
    texts: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    words: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    #: places of one field that are looked at
    most: int = _MOST_PLACES


def wanted_of(leaves: Sequence[Leaf]) -> Wanted:
    """Sort the fields by how their values are found; booleans have no value to find."""
    wanted = Wanted(most=max(_FEWEST_PLACES, _MOST_PLACES // max(1, len(leaves))))
    for index, leaf in enumerate(leaves):
        value = leaf.value
        if isinstance(value, bool):
            continue
        if isinstance(value, str):
            _want_text(wanted, index, leaf, value)
        elif isinstance(value, (int, float, Decimal)):
            _want_number(wanted, index, as_decimal(value))
        elif isinstance(value, (date, datetime)):
            _want_date(wanted, index, value.date() if isinstance(value, datetime) else value)
        elif isinstance(value, time):
            for run in time_runs(value):
                wanted.hours[run].append((index, value))
    return wanted


def _want_number(wanted: Wanted, index: int, value: Decimal | None) -> None:
    if value is None:
        return
    for each in signatures(value):
        wanted.numbers[each].append((index, value))
    if words := number_words(value):
        wanted.words.append((index, words))


def _want_date(wanted: Wanted, index: int, value: date) -> None:
    for run in runs_of(value):
        wanted.days[run].append((index, value))


def _want_text(wanted: Wanted, index: int, leaf: Leaf, value: str) -> None:
    needles = dict.fromkeys(" ".join(plain(each).split()) for each in (value, *leaf.texts))
    if "_" in value:
        needles[" ".join(plain(value).replace("_", " ").split())] = None
    wanted.texts.append((index, tuple(each for each in needles if each)))
    if _ISO_DATE.fullmatch(value.strip()):
        try:
            _want_date(wanted, index, date.fromisoformat(value.strip()[:10]))
        except ValueError:
            return
    elif number := money_in(value):
        _want_number(wanted, index, number)


def money_in(value: str) -> Decimal | None:
    """The number in a text that is an amount, as "$1,234.50"; None for codes and words."""
    found = _MONEY_TEXT.fullmatch(plain(value)) if len(value) < 40 else None
    if found is None:
        return None
    sign, digits, after = found.groups()
    if digits.startswith("0") and digits.strip().isdigit():
        return None  # "0042" is a code
    read = bare_values(digits.strip())
    if not read:
        return None
    number = -read[0][0] if sign else read[0][0]
    return number.scaleb(-2) if after == "%" else number


def find_hits(joined: JoinedText, wanted: Wanted) -> list[Hit]:
    """All places of `joined` that say a wanted value, in no order."""
    found = [*_digit_hits(joined.text, wanted), *_word_hits(joined, wanted)]
    with_hits = {hit.leaf for hit in found}
    for index, needles in wanted.texts:
        exact = [
            Hit(index, *place, 1.0)
            for each in needles
            for place in places(joined.flat, each, wanted.most)
        ]
        if not exact and index not in with_hits:
            exact = list(_near_hits(joined, index, needles[0])) if needles else []
        found.extend(exact)
    return _strongest(found)


def _strongest(found: list[Hit]) -> list[Hit]:
    best: dict[tuple[int, int], Hit] = {}
    for hit in found:
        known = best.get((hit.leaf, hit.start))
        if known is None or hit.quality > known.quality:
            best[hit.leaf, hit.start] = hit
    return list(best.values())


def _digit_hits(text: str, wanted: Wanted) -> Iterator[Hit]:
    if not (wanted.numbers or wanted.days or wanted.hours):
        return
    plans: dict[str, tuple[_Step, ...]] = {}
    counts: dict[int, int] = defaultdict(int)
    for token in TOKEN.finditer(text):
        body = token[0]
        plan = plans.get(body)
        if plan is None:
            # the same digits come again and again: what they may say is looked up once
            plan = plans[body] = tuple(_plan(body, wanted))
        for step in plan:
            if counts[step.leaf] < 2 * wanted.most:
                hit = step.look(text, token.start())
                counts[step.leaf] += 2 if hit.quality else 1
                if hit.quality:
                    yield hit


@dataclass(frozen=True, slots=True)
class _Step:
    """Some digits of a token that may say a field's value."""

    leaf: int
    value: Decimal | date | time
    offset: int
    size: int

    def look(self, text: str, token_start: int) -> Hit:
        start = token_start + self.offset
        if isinstance(self.value, Decimal):
            quality = fit(self.value, text, start, start + self.size)
            return Hit(self.leaf, start, start + self.size, quality)
        if isinstance(self.value, time):
            quality, first, last = time_fit(self.value, text, start)
        else:
            quality, first, last = date_fit(self.value, text, start, start + self.size)
        return Hit(self.leaf, first, last, quality)


def _plan(body: str, wanted: Wanted) -> Iterator[_Step]:
    """What the digits of a token may say: all of it, its parts between spaces, its digit runs."""
    parts = [(0, body)]
    if " " in body:
        parts += [(run.start(), run.group()) for run in re.finditer(r"[^ ]+", body)]
    for offset, part in parts:
        for leaf, number in wanted.numbers.get(signature(part), ()):
            yield _Step(leaf, number, offset, len(part))
    for run in re.finditer(r"\d+", body):
        for leaf, day in wanted.days.get(run.group(), ()):
            yield _Step(leaf, day, run.start(), len(run.group()))
        for leaf, hour in wanted.hours.get(run.group(), ()):
            yield _Step(leaf, hour, run.start(), len(run.group()))


def _word_hits(joined: JoinedText, wanted: Wanted) -> Iterator[Hit]:
    text = joined.flat[:_MOST_SPELLED]
    for index, words in wanted.words:
        for word in words:
            for place in places(text, word, wanted.most):
                yield Hit(index, *place, 0.7)


def places(text: str, needle: str, most: int) -> Iterator[tuple[int, int]]:
    """Where `needle` stands as whole words, among its first places."""
    is_code = any(char.isdigit() for char in needle)
    start = text.find(needle)
    tried = 0
    while start >= 0 and tried < 2 * most:
        end = start + len(needle)
        if is_bounded(text, start, end, is_code=is_code):
            yield start, end
        tried += 1
        start = text.find(needle, end)


def _near_hits(joined: JoinedText, index: int, needle: str) -> Iterator[Hit]:
    """Places that differ by accents, punctuation, a legal form, or a few words."""
    tokens = loose(needle).split()
    if not tokens or len(needle) < 3:
        return
    found = list(_loose_places(joined, tokens))
    yield from (Hit(index, *place, 0.9) for place in found)
    if found:
        return
    core = [token for token in tokens if token not in LEGAL_FORMS]
    if core and len(core) < len(tokens) and len("".join(core)) >= 4:
        yield from (Hit(index, *place, 0.8) for place in _loose_places(joined, core))
    elif len(tokens) >= _LONG:
        yield from _long_hits(joined, index, tokens)


def _loose_places(joined: JoinedText, tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where the tokens stand with any spaces between; found by the longest, which is rare."""
    text = joined.loose
    is_code = any(char.isdigit() for token in tokens for char in token)
    longest = max(tokens, key=len)
    ahead = sum(map(len, tokens[: tokens.index(longest)])) + 3 * tokens.index(longest)
    pattern = re.compile(" {1,3}".join(map(re.escape, tokens)))
    place = text.find(longest)
    tried, last = 0, -1
    while place >= 0 and tried < _FEWEST_PLACES:
        tried += 1
        found = pattern.search(text, max(0, place - ahead), place + _LOOKED_AT)
        if found and found.start() > last and found.start() <= place:
            last = found.start()
            if is_bounded(joined.flat, *found.span(), is_code=is_code):
                yield found.span()
        place = text.find(longest, place + len(longest))


def _long_hits(joined: JoinedText, index: int, tokens: Sequence[str]) -> Iterator[Hit]:
    """Where most words of a long text stand, though not all: found by runs of its words."""
    count = len(tokens)
    wanted = set(tokens)
    seen: set[int] = set()
    for first in sorted({0, (count - _SHINGLE) // 2, count - _SHINGLE}):
        for start, end in _loose_places(joined, tokens[first : first + _SHINGLE]):
            part = joined.part_at(start)
            if part in seen:
                continue
            seen.add(part)
            low, high = joined.bounds(part)
            size = len(" ".join(tokens))
            near = joined.loose[max(low, start - size) : min(high, end + size)]
            share = len(wanted.intersection(near.split())) / len(wanted)
            if share >= 0.6:
                yield Hit(index, start, end, 0.6 + 0.4 * share)
