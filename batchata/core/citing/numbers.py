"""Numbers as people write them: found in plain text and compared by value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

from batchata.core.citing.words import (
    BASIS_POINTS,
    CURRENCIES,
    NUMBER_WORDS,
    PERCENT,
    SCALES,
    UNSURE_SCALES,
)

#: groups of three parted by spaces or apostrophes, or digits with points and commas
TOKEN: Final = re.compile(
    r"[0-9](?:[0-9]{0,2}(?:[ '][0-9]{3})+(?:[.,][0-9]+)?(?![0-9])|[0-9]*(?:[.,][0-9]+)*)"
)
_NO_SEPARATORS: Final = {ord(each): None for each in " '.,"}
_MOST_DIGITS: Final = 30
_MOST_EXPONENT: Final = 40
_CURRENCY_BEFORE: Final = re.compile(r"(?:^|[^a-z])([a-z]{1,3})\.?\s?$")
_SUFFIX: Final = re.compile(r"\s?-?\s?([^\W\d_]+\.?|%)")
_PHRASES: Final = re.compile(
    rf"\s?(?:({'|'.join(map(re.escape, PERCENT))})"
    rf"|({'|'.join(map(re.escape, BASIS_POINTS))}))(?![a-z])"
)
_ORDINALS: Final = frozenset(("st", "nd", "rd", "th", "er", "ère", "eme", "ème", "º", "ª"))
_CLOCK: Final = frozenset(("am", "pm", "uhr"))
_SIGN: Final = re.compile(r"(?:^|[^\w\-])-\s?[$€£¥]?\s?$|(?:^|[^\w])[$€£¥]\s?-$|\bminus\s$")
_PAREN_BEFORE: Final = re.compile(r"\([$€£¥]?\s?(?:[a-z]{3}\s)?$")
_PAREN_AFTER: Final = re.compile(r"\s?[%$€£¥]?\s?\)")
_WIDE: Final = "\u2e80"

#: how well one way to read a number fits: below this a label must say so
SURE: Final = 0.75


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a number in a text, and how likely it is."""

    value: Decimal
    quality: float
    is_short: bool = False  #: written with a scale, as "3k" or "12 %"


def as_decimal(value: Any) -> Decimal | None:
    """The exact value of a number, None for what has none (nan, inf) or is beyond all use."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value) if value.bit_length() <= 4 * _MOST_EXPONENT else None
    try:
        number = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    except (InvalidOperation, OverflowError, TypeError, ValueError):
        return None
    if not number.is_finite() or abs(number.adjusted()) > _MOST_EXPONENT:
        return None
    return number if len(number.as_tuple().digits) <= 2 * _MOST_DIGITS else None


def signature(digits: str) -> str:
    """What all ways to write a number share: its digits without zeros at the ends."""
    return digits.translate(_NO_SEPARATORS).strip("0") or "0"


def signatures(value: Decimal) -> set[str]:
    """The signatures a text may use for `value`: exact, and rounded to fewer digits."""
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    found = {digits or "0"}
    for count in range(2, len(digits)):
        found.update(_rounded(digits, count))
    return found


def _rounded(digits: str, count: int) -> set[str]:
    whole = Decimal(f"{digits[:count]}.{digits[count:]}")
    return {
        str(int(whole.to_integral_value(rounding=way))).strip("0") or "0"
        for way in (ROUND_HALF_UP, ROUND_HALF_EVEN)
    }


def fit(value: Decimal, text: str, start: int, end: int) -> float:
    """How well the number at `text[start:end]` says `value`, 0 to 1."""
    best = 0.0
    for reading in readings(text, start, end):
        best = max(best, reading.quality * _closeness(value, reading))
    return best


def _closeness(value: Decimal, reading: Reading) -> float:
    found = reading.value
    if found == value:
        return 1.0
    if value and found == -value:
        return 0.6
    if not value or not found or (value > 0) != (found > 0):
        return 0.0
    digits = len(value.as_tuple().digits)
    seen = len(signature("".join(map(str, found.as_tuple().digits))))
    if digits <= max(seen, 2) or (seen < 2 and not reading.is_short):
        return 0.0
    unit = Decimal(1).scaleb(found.adjusted() - max(seen, 1) + 1)
    if abs(value - found) * 2 > unit:
        return 0.0
    return 0.85 if seen >= 3 else 0.7


def readings(text: str, start: int, end: int) -> Iterator[Reading]:
    """The ways to read the number at `text[start:end]`; none when it is a part of a code."""
    before, after = text[max(0, start - 12) : start], text[end : end + 16]
    quality = _standing(before, after)
    if not quality:
        return
    body = text[start:end]
    if before.endswith(".") and (len(before) < 2 or not before[-2].isalnum()):
        body = f"0.{body}" if body.isdigit() else body
    sign = -1 if _SIGN.search(before) else 1
    in_parens = bool(_PAREN_BEFORE.search(before) and _PAREN_AFTER.match(after))
    for number, likely in bare_values(body):
        for scaled in _scaled(number, after):
            rank = quality * likely * scaled.quality
            if in_parens:
                yield Reading(-scaled.value, rank, scaled.is_short)
                rank *= 0.9
            yield Reading(scaled.value * sign, rank, scaled.is_short)


def bare_values(body: str) -> list[tuple[Decimal, float]]:
    """The numbers that digits with separators may mean: "1,234" is 1234 or, less likely, 1.234."""
    body = body.replace(" ", "").replace("'", "")
    if len(body) > _MOST_DIGITS:
        return []
    marks = [each for each in body if each in ".,"]
    if not marks:
        return [(Decimal(body), 1.0)]
    last = marks[-1]
    whole, _, rest = body.rpartition(last)
    if len(set(marks)) == 2:
        groups = whole.replace(".", ",").split(",")
        if last in whole or not _are_groups(groups):
            return []
        return [(Decimal("".join(groups) + "." + rest), 1.0)]
    if len(marks) > 1:
        groups = body.split(last)
        return [(Decimal("".join(groups)), 1.0)] if _are_groups(groups) else []
    as_decimal_mark = Decimal(f"{whole}.{rest}")
    if len(rest) == 3 and len(whole) <= 3 and whole.strip("0"):
        return [(Decimal(whole + rest), 1.0), (as_decimal_mark, 0.9)]
    return [(as_decimal_mark, 1.0)]


def _are_groups(groups: list[str]) -> bool:
    """Three digits each, or two as in India, and three at last."""
    middle = groups[1:]
    if not middle or not 1 <= len(groups[0]) <= 3:
        return bool(groups[0]) and not middle
    return len(middle[-1]) == 3 and all(len(each) in (2, 3) for each in middle)


def _scaled(number: Decimal, after: str) -> Iterator[Reading]:
    """The number with what follows it: percent, million, or nothing."""
    phrase = _PHRASES.match(after)
    if phrase:
        is_percent = phrase.group(1) is not None
        yield Reading(number.scaleb(-2 if is_percent else -4), 1.0, is_short=True)
        yield Reading(number, 0.9 if abs(number) > 1 else 0.7)
        return
    suffix = _SUFFIX.match(after)
    power = _power(suffix.group(1)) if suffix else None
    if suffix is None or power is None:
        yield Reading(number, 1.0)
        return
    unsure = suffix.group(1) in UNSURE_SCALES
    spaced = unsure and after[:1] == " "
    yield Reading(number.scaleb(power), 0.8 if spaced else 1.0, is_short=True)
    yield Reading(number, 0.8 if spaced else 0.6)


def _power(word: str) -> int | None:
    power = SCALES.get(word) or SCALES.get(word.rstrip("."))
    if power is None and word >= _WIDE:
        return SCALES.get(word[0])
    return power


def _standing(before: str, after: str) -> float:
    """1 for a number that stands alone, less inside something else, 0 as a part of a code."""
    return min(_left_standing(before, after), _right_standing(after))


def _left_standing(before: str, after: str) -> float:
    last = before[-1:]
    if not last:
        return 1.0
    if last.isalpha() and last < _WIDE:
        found = _CURRENCY_BEFORE.search(before)
        return 0.95 if found and found.group(1) in CURRENCIES else 0.0
    if last == "_" or (last == ":" and before[-2:-1].isdigit()):
        return 0.0
    if last in "-/" and len(before) > 1 and before[-2].isalnum() and before[-2] < _WIDE:
        is_range = last == "-" and before[-2].isdigit() and not _is_chain(before, after)
        return 0.8 if is_range else 0.0
    if last in ".," and before[-2:-1].isdigit():
        return 0.0
    return 1.0


def _is_chain(before: str, after: str) -> bool:
    """True inside 2024-01-05 or 555-12-34: more than two numbers joined."""
    return bool(re.search(r"-\d+-$", before)) or bool(re.match(r"-\d", after))


def _right_standing(after: str) -> float:
    first, second = after[:1], after[1:2]
    if first in ("-", "/") and second.isdigit():
        return 0.8 if first == "-" and not re.match(r"-\d+-", after) else 0.0
    if first == ":" and second.isdigit():
        return 0.0
    if first in ("-", "/") and second.isalpha() and second < _WIDE:
        return 1.0 if re.match(r"[-/][^\W\d_]{3}", after) else 0.3
    word = re.match(r" ?([^\W\d_]+)", after)
    if word is None or word.group(1)[0] >= _WIDE:
        return 0.0 if first == "_" else 1.0
    if word.group(1) in _CLOCK:
        return 0.3
    if after[0] == " ":
        return 1.0
    return _attached(word.group(1), after[word.end() : word.end() + 1])


def _attached(word: str, following: str) -> float:
    """For "5th", "3k", "16gb" and, as a code, "4ap7"."""
    if following.isdigit():
        return 0.0
    if word in _ORDINALS:
        return 0.5
    if word in SCALES or word in CURRENCIES:
        return 1.0
    return 0.7


def number_words(value: Decimal) -> tuple[str, ...]:
    """The words for a small whole number, as "three" and "drei"."""
    if value != value.to_integral_value() or not 0 <= value <= 100:
        return ()
    return NUMBER_WORDS.get(int(value), ())
