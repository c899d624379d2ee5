"""Whether words that are nearly a quote say the same: one letter can turn the meaning round."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from batchata.core.citing.bare import bare
from batchata.core.citing.words import CONNECTING, MONTHS, NEGATIONS, WEEKDAYS

_WORD: Final = re.compile(r"[^\W\d_]+")
#: shorter words come and go in quotes, and tell nothing
_TELLING: Final = 3
_MOST_SLIPS: Final = 2
_LIKE: Final = 0.75
_LINE_END: Final = re.compile("[-\u2010\u00ad]\\s*\n\\s*")
#: digits with the letters that they are written together with, as in PH2
_NUMBER: Final = re.compile("[a-z\u00df-\u024f]*[0-9][0-9a-z\u00df-\u024f]*")


def says_the_same(quote: str, found: str, around: str) -> bool:
    """True when no number, negation, month or other word that tells differs.

    Words may have moved a little, to what is `around`.
    """
    numbers = iter(_numbers(found))
    if not all(number in numbers for number in _numbers(quote)):  # in this order
        return False
    said = _words(quote)
    return _turning(said) == _turning(_words(found)) and _has_words(said, around)


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(unicodedata.normalize("NFKC", text).casefold())


def _words(text: str) -> list[str]:
    whole = _LINE_END.sub("", unicodedata.normalize("NFKC", text))
    return _WORD.findall(whole.casefold())


def _turning(words: Sequence[str]) -> Counter[str]:
    """Negations, months and weekdays: a place with others of them says something else."""
    return Counter(
        word for word in words if word in NEGATIONS or word in MONTHS or word in WEEKDAYS
    )


def _has_words(said: Sequence[str], text: str) -> bool:
    """True when every longer word of a quote stands there, a few with a slip in them."""
    known = dict.fromkeys(_words(text))
    telling = {word for word in said if len(word) >= _TELLING and word not in CONNECTING}
    missing = telling - known.keys()
    if len(missing) > max(_MOST_SLIPS, len(said) // 10):
        return False
    there = bare(text)
    return all(_is_slip(word, list(known)) or _is_spread(word, known, there) for word in missing)


def _is_slip(word: str, known: Sequence[str]) -> bool:
    """True for a word that is another with a slip in it; "increase" is no slip of "decrease"."""
    alike = [each for each in known if each[0] == word[0]]
    return bool(get_close_matches(word, alike, n=1, cutoff=_LIKE))


def _is_spread(word: str, known: Iterable[str], there: str) -> bool:
    """True for a word that stands there in pieces, and is no piece of another word."""
    return bare(word) in there and not any(word in each for each in known)
