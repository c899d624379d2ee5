"""Dates and times of day as people write them, found around their digits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, time
from typing import Final

from batchata.core.citing.words import MONTHS

_NAMES: Final = "|".join(sorted(map(re.escape, MONTHS), key=len, reverse=True))
_OF: Final = r"(?:\s?(?:de|of|del|di|d')\s|[\s./\-]{1,2})"
_YEAR_FIRST: Final = re.compile(r"(?<!\d)(\d{4})\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})(?!\d)")
_NUMERIC: Final = re.compile(
    r"(?<!\d)(\d{1,2})(\.\s?|[/-])(\d{1,2})(?:\.\s?|[/-])(\d{4}|\d{2})(?!\d)"
)
_DAY_NAME: Final = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|º|ª|°|o)?{_OF}({_NAMES})\b\.?,?(?:{_OF}'?(\d{{4}}|\d{{2}}(?![\d:])))?"
)
_NAME_DAY: Final = re.compile(
    rf"\b({_NAMES})\b[.\s-]{{1,2}}(\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])(?:,?\s?-?(\d{{4}}))?"
)
_MONTH_YEAR: Final = re.compile(rf"\b({_NAMES})\b\.?,?(?:\s(?:de|of|del)\s|\s)(\d{{4}})(?!\d)")
_COMPACT: Final = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)")
_CLOCK: Final = re.compile(
    r"(?<![\d.,])(\d{1,2})(?:\s?([:.h時])\s?(\d{2})(?!\d)(?::(\d{2}))?)?\s?"
    r"(a\.?m\b|p\.?m\b|uhr\b|h\b|o'clock|heures\b|分|時)?"
)
_AROUND: Final = 34
_NAMES_OF: Final = {
    number: tuple(name for name, each in MONTHS.items() if each == number)
    for number in range(1, 13)
}


def runs_of(value: date) -> set[str]:
    """Digits that any way to write `value` has one of."""
    found = {str(value.day), f"{value.day:02}", value.strftime("%Y%m%d")}
    if value.day == 1:
        found.add(f"{value.year:04}")
    return found


def date_fit(value: date, text: str, start: int, end: int) -> tuple[float, int, int]:
    """How well a date around the digits at `start` says `value`, and where it stands."""
    offset = max(0, start - _AROUND)
    window = text[offset : end + _AROUND]
    best = (0.0, start, end)
    for quality, first, last in _matches(value, window):
        covers = first + offset <= start and end <= last + offset
        if covers and quality > best[0]:
            best = (quality, first + offset, last + offset)
    return best


def _matches(value: date, text: str) -> Iterator[tuple[float, int, int]]:
    for pattern in (_YEAR_FIRST, _COMPACT):
        for found in pattern.finditer(text):
            if tuple(map(int, found.groups())) == (value.year, value.month, value.day):
                yield 1.0 if pattern is _YEAR_FIRST else 0.9, *found.span()
    for found in _NUMERIC.finditer(text):
        yield _numeric_fit(value, *found.groups()), *found.span()
    if any(name in text for name in _NAMES_OF[value.month]):
        yield from _named(value, text)


def _named(value: date, text: str) -> Iterator[tuple[float, int, int]]:
    for found in _DAY_NAME.finditer(text):
        day, name, year = found.groups()
        yield _named_fit(value, day, name, year), *found.span()
    for found in _NAME_DAY.finditer(text):
        name, day, year = found.groups()
        yield _named_fit(value, day, name, year), *found.span()
    if value.day == 1:
        yield from _month_only(value, text)


def _month_only(value: date, text: str) -> Iterator[tuple[float, int, int]]:
    for found in _MONTH_YEAR.finditer(text):
        if (MONTHS[found.group(1)], int(found.group(2))) == (value.month, value.year):
            yield 0.6, *found.span()


def _numeric_fit(value: date, first: str, mark: str, second: str, year: str) -> float:
    if int(year) not in (value.year, value.year % 100 if len(year) == 2 else value.year):
        return 0.0
    if (int(first), int(second)) == (value.day, value.month):
        return 1.0
    if (int(second), int(first)) == (value.day, value.month):
        return 0.5 if mark.startswith(".") else 1.0
    return 0.0


def _named_fit(value: date, day: str, name: str, year: str | None) -> float:
    if (MONTHS[name], int(day)) != (value.month, value.day):
        return 0.0
    if year is None:
        return 0.7
    return 1.0 if int(year) in (value.year, value.year % 100 if len(year) == 2 else -1) else 0.0


def time_runs(value: time) -> set[str]:
    """Digits of the hour, in 24 and 12 hours."""
    hours = {value.hour, value.hour % 12 or 12}
    return {each for hour in hours for each in (str(hour), f"{hour:02}")}


def time_fit(value: time, text: str, start: int) -> tuple[float, int, int]:
    """How well the clock time that begins at `start` says `value`, and where it stands."""
    found = _CLOCK.match(text, start)
    if found is None:
        return 0.0, start, start
    hour, mark, minute, second, half = found.groups()
    half = (half or "").replace(".", "")
    read = (_hour(int(hour), half), int(minute or 0), int(second or 0))
    is_same = read[:2] == (value.hour, value.minute) and (second is None or read[2] == value.second)
    if not is_same or (minute is None and not half):
        return 0.0, start, start
    quality = 1.0 if half or mark in (":", "h", "時") else 0.6
    return quality, *found.span()


def _hour(hour: int, half: str) -> int:
    if half == "pm" and hour < 12:
        return hour + 12
    return 0 if half == "am" and hour == 12 else hour
