"""Decodes the text of a file, whatever its encoding."""

from __future__ import annotations

import codecs
import logging
import re
from typing import Final

log = logging.getLogger("batchata")

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: an HTML or XML file's own declaration
_DECLARED: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})"
    rb"|<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})",
    re.IGNORECASE,
)
#: code pages of non-Latin scripts
_FOREIGN: Final = (
    "cp1251",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
    "cp1253",
    "cp1255",
    "cp1256",
)
_LOOKED_AT: Final = 65_536
#: Latin text has a smaller share of letters outside ASCII
_FEW: Final = 0.25
_TOO_FEW_TO_TELL: Final = 8
_NO_TEXT: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b"))


def is_text(head: bytes) -> bool:
    """True unless there is a byte that text never has; UTF-16 and UTF-32 are text."""
    if any(head.startswith(mark) for mark, _ in _MARKS):
        return True
    head = head[:_LOOKED_AT]
    return len(head.translate(None, _NO_TEXT)) == len(head) or _unmarked(head) is not None


def decode_text(data: bytes, name: str = "document") -> str:
    """The text, decoded by its mark, as UTF-8, by its declaration, or else by a logged guess."""
    for mark, encoding in _MARKS:
        if data.startswith(mark) and (text := _decoded(data, encoding)) is not None:
            return text
    for likely in (_unmarked(data[:_LOOKED_AT]), "utf-8", _declared(data)):
        if likely and (text := _decoded(data, likely)) is not None:
            return text
    encoding = _guessed(data)
    log.warning(
        "file %r is not in UTF-8: it is read as %s, which is a guess; save it as UTF-8 to be sure",
        name,
        encoding,
    )
    text = _decoded(data, encoding)
    return data.decode("latin-1") if text is None else text


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _unmarked(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of text in a Latin script is zero."""
    if len(head) < 4 or b"\0" not in head:
        return None
    even, odd = head[: len(head) // 2 * 2 : 2], head[1::2]
    for zeros, letters, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        is_wide = zeros.count(0) >= 0.7 * len(zeros) and not letters.count(0)
        if is_wide and len(letters.translate(None, _NO_TEXT)) == len(letters):
            return encoding
    return None


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:2048])
    return (found[1] or found[2]).decode("ascii", "replace") if found else None


def _guessed(data: bytes) -> str:
    from charset_normalizer import from_bytes

    sample = data[:_LOOKED_AT]
    high = sum(byte >= 0x80 for byte in sample)
    letters = sum(65 <= byte <= 90 or 97 <= byte <= 122 for byte in sample)
    if high >= max(_TOO_FEW_TO_TELL, _FEW * (high + letters)):
        best = from_bytes(sample, cp_isolation=list(_FOREIGN)).best()
        if best is not None and _decoded(data, best.encoding) is not None:
            return best.encoding
    return "cp1252" if _decoded(data, "cp1252") is not None else "latin-1"
