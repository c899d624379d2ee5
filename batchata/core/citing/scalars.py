"""One value of a labelled line, as the type its field has."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any, Final

from batchata.core.citing.field_shape import FieldShape
from batchata.core.citing.numbers import TOKEN, readings
from batchata.core.citing.plain import plain
from batchata.core.citing.words import MONTHS, NO, YES

#: said when a document does not say something
NOTHING: Final = frozenset(
    ("", "none", "null", "n/a", "na", "nil", "-", "--", "not stated", "not specified", "not found",
     "not available", "not given", "unknown", "keine angabe", "non précisé", "no consta")
)  # fmt: skip
_FLOAT_DIGITS: Final = 15
_PLAIN_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_NAMED: Final = re.compile(r"(?:(\d{1,2})[a-zº°.]{0,2}\s?(?:de |of )?)?([^\W\d_]+)\.?,?\s?(.*)")
_NUMERIC: Final = re.compile(r"(\d{1,2})\s?([./-])\s?(\d{1,2})\s?[./-]\s?(\d{4})")
_CLOCK: Final = re.compile(r"(\d{1,2})(?:[:.h時](\d{2}))?\s?(a\.?m\.?|p\.?m\.?|uhr|h|分|時)?")
_WIDE_DATE: Final = re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日")


def is_nothing(text: str) -> bool:
    """True for words that say there is no value."""
    return plain(text).strip(" .()[]<>\"'") in NOTHING


def value_for(text: str, shape: FieldShape) -> Any:
    """The value that `text` says, in the form JSON has it; the text itself when it says none."""
    if shape.values:
        return _listed(text, shape.values)
    kinds = shape.types
    if "boolean" in kinds and (said := _boolean(text)) is not None:
        return said
    if kinds & {"integer", "number"} and (number := _number(text, shape)) is not None:
        return number
    if "date" in kinds and (day := _date(text)):
        return day
    if "time" in kinds and (clock := _time(text)):
        return clock
    return text


def _listed(text: str, values: tuple[Any, ...]) -> Any:
    wanted = _same(text)
    for value in values:
        if _same(str(value)) == wanted:
            return value
    said = _boolean(text)
    return said if said is not None and said in values else text


def _same(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", plain(text)).strip(" .\"'")


def _boolean(text: str) -> bool | None:
    word = plain(text).strip(" .\"'")
    if word in YES:
        return True
    return False if word in NO else None


def _number(text: str, shape: FieldShape) -> int | str | Decimal | None:
    is_plain = _PLAIN_NUMBER.fullmatch(text.strip())
    if "string" in shape.types and "number" not in shape.types and not is_plain:
        return None  # `int | str`: only digits are the number; a Decimal is `number | string`
    found = number_in(text, is_share=_is_share(shape))
    if found is None:
        return None
    if "string" in shape.types and len(found.as_tuple().digits) > _FLOAT_DIGITS:
        return str(found)  # as a number in JSON a Decimal would be rounded
    is_whole = found == found.to_integral_value() and abs(found.adjusted()) < 30
    return int(found) if is_whole and "number" not in shape.types else found


def _is_share(shape: FieldShape) -> bool:
    """True when a percentage cannot be meant as it is written: nothing above 1 is allowed."""
    limits = [each.get("maximum", each.get("exclusiveMaximum")) for each in shape.choices]
    return any(isinstance(each, (int, float)) and 0 < each <= 1 for each in limits)


def number_in(text: str, *, is_share: bool = False) -> Decimal | None:
    """The number that a value is; None when it is none, or more than one."""
    folded = plain(text).strip()
    if _PLAIN_NUMBER.fullmatch(folded) and len(folded) < 40:
        return Decimal(folded)
    found = list(TOKEN.finditer(folded))
    if len(found) != 1:
        return None
    start, end = found[0].span()
    if sum(char.isalpha() for char in folded[:start]) > 3:
        return None
    read = list(readings(folded, start, end))
    if not read:
        return None
    has_percent = re.match(r"\s?(?:%|per ?cent|pct|prozent)", folded[end:])
    if has_percent and not is_share:
        # a percentage stays the number that is written
        read = [each for each in read if not each.is_short] or read
    best = max(read, key=lambda each: each.quality)
    return best.value


def _date(text: str) -> str | None:
    """The date as YYYY-MM-DD; None when day and month could be either way round."""
    folded = plain(text).strip(" .")
    if re.match(r"\d{4}-\d{2}-\d{2}", folded):
        return folded[:10]
    if wide := _WIDE_DATE.match(folded):
        return _iso(*map(int, wide.groups()))
    if numeric := _NUMERIC.fullmatch(folded):
        return _numeric_date(*numeric.groups())
    if named := _NAMED.fullmatch(folded):
        return _named_date(*named.groups())
    return None


def _numeric_date(first: str, mark: str, second: str, year: str) -> str | None:
    day, month = int(first), int(second)
    if mark == "." or day > 12 or day == month:
        return _iso(int(year), month, day)
    return _iso(int(year), day, month) if month > 12 else None


def _named_date(day: str | None, name: str, rest: str) -> str | None:
    month = MONTHS.get(name)
    numbers = re.findall(r"\d+", rest)
    if month is None or len(numbers) != (1 if day else 2) or len(numbers[-1]) != 4:
        return None
    return _iso(int(numbers[-1]), month, int(day or numbers[0]))


def _iso(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def _time(text: str) -> str | None:
    found = _CLOCK.fullmatch(plain(text).strip())
    if found is None or not (found.group(2) or found.group(3)):
        return None
    hour, half = int(found.group(1)), (found.group(3) or "").replace(".", "")
    if half == "pm" and hour < 12:
        hour += 12
    elif half == "am" and hour == 12:
        hour = 0
    return f"{hour:02}:{found.group(2) or '00'}:00"
