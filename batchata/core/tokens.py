"""A rough count of tokens from the text alone, for plans and displays; bounds are in `bounds`."""

from __future__ import annotations

import re
from typing import Final

_EMOJI: Final = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")
_CJK: Final = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_LATIN: Final = re.compile("[\u0000-\u024f]")


def token_count_simple(text: str) -> int:
    """About how many tokens `text` is, more often too many than too few; exact for no model."""
    emoji = len(_EMOJI.findall(text))
    cjk = len(_CJK.findall(text))
    latin = len(_LATIN.findall(text))
    other = len(text) - emoji - cjk - latin
    by_characters = latin / 3 + cjk * 2 + emoji * 3 + other / 2
    by_words = len(text.split()) * 1.6 + 5
    return int(max(by_characters, by_words) * 1.05 + 10)
