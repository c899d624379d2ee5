"""Text without what is not compared when a quote is looked for."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: not compared: white space, hyphens and dashes, quotes, and what cannot be seen
LEFT_OUT: Final = re.compile(
    "[\\s\\-\u2010-\u2015\u2212\ufe63\"'`\u00b4\u2018-\u201f\u2032\u2033\u00ab\u00bb"
    "\u00ad\u200b-\u200d\u2060\ufeff\u0000*]+"
)


def bare(text: str) -> str:
    """`text` in one case and form, without what is not compared."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return LEFT_OUT.sub("", text.casefold())
