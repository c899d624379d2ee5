"""Text made comparable: what people take for the same must be the same characters."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63"
_SINGLE_QUOTES: Final = "\u2018\u2019\u201a\u201b\u2032`\u00b4"
_DOUBLE_QUOTES: Final = "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"
_INVISIBLE: Final = "\u00ad\u200b\u200c\u200d\u2060\ufeff\u0000"
_UNTIDY: Final = ("\t", "\r", "\f", "\v", "  ")
_UNTIDY_LINES: Final = (" \n", "\n ", "\n\n")
#: digits of Arabic, Persian, Hindi and Bengali
_OTHER_DIGITS: Final = re.compile("[\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef]")
_LOOSE_ASCII: Final = str.maketrans(dict.fromkeys("-_/.,;:'\"()[]#&+", " "))
#: scripts without spaces between words
_WIDE: Final = "\u2e80"
#: longer texts with accents are not searched without their accents: it would take too long
_MOST_FOLDED: Final = 400_000


def plain(text: str) -> str:
    """`text` in one case and form; line breaks stay, outer white space stays one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        for mark in _DASHES:
            text = text.replace(mark, "-")
        for mark in _SINGLE_QUOTES:
            text = text.replace(mark, "'")
        for mark in _DOUBLE_QUOTES:
            text = text.replace(mark, '"')
        for mark in _INVISIBLE:
            text = text.replace(mark, "")
        if not _is_western(text):
            text = _OTHER_DIGITS.sub(lambda found: str(int(found.group())), text)
    text = text.casefold().replace("`", "'")
    if "*" in text:
        text = text.replace("**", "")
    return _tidy(text) if _is_untidy(text) else text


def _is_western(text: str) -> bool:
    """True where every character is one of Latin-1: told faster than any search takes."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _is_untidy(text: str) -> bool:
    """True where white space is not single spaces and line breaks; rare characters come first."""
    if any(each in text for each in _UNTIDY):
        return True
    return "\n" in text and any(each in text for each in _UNTIDY_LINES)


def _tidy(text: str) -> str:
    start = " " if text[:1].isspace() and not text.startswith("\n") else ""
    end = " " if text[-1:].isspace() and not text.endswith("\n") else ""
    text = text.replace("\t", " | ").replace("\r\n", "\n").replace("\r", "\n")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return start + re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + end


def loose(text: str) -> str:
    """Plain text without accents and punctuation, every character in its old place."""
    if not text.isascii():
        if len(text) > _MOST_FOLDED:
            return text
        text = "".join(map(_base, text))
    return text.translate(_LOOSE_ASCII)


@lru_cache(maxsize=4096)
def _base(char: str) -> str:
    return char if char < "\x80" or char >= _WIDE else unicodedata.normalize("NFKD", char)[0]


def is_bounded(text: str, start: int, end: int, *, is_code: bool = False) -> bool:
    """True when `text[start:end]` is not a part of a longer word, number or code."""
    if start > 0 and _joins(text[start - 1], text[start]):
        return False
    if end < len(text) and _joins(text[end - 1], text[end]):
        return False
    after, before = text[end : end + 2], text[max(0, start - 2) : start]
    if not is_code:
        return not (_is_inside_name(after) or _is_inside_name(before[::-1]))
    return not (_is_continued(after) or _is_begun(before))


def _is_inside_name(beside: str) -> bool:
    """True for "acme" in "acme.com", "me@acme.com" and "acme_id"."""
    return len(beside) == 2 and beside[0] in ".@_" and beside[1].isalnum()


def _joins(left: str, right: str) -> bool:
    if not (left.isalnum() and right.isalnum()):
        return False
    return (left < _WIDE and right < _WIDE) or (left.isdigit() and right.isdigit())


def _is_continued(after: str) -> bool:
    if len(after) < 2 or not after[1].isalnum() or after[1] >= _WIDE:
        return False
    return after[0] in "-_/" or (after[0] in ".," and after[1].isdigit())


def _is_begun(before: str) -> bool:
    if len(before) < 2 or not before[0].isalnum() or before[0] >= _WIDE:
        return False
    return before[1] in "-_" or (before[1] in "./," and before[0].isdigit())
