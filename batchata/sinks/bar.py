"""A progress bar of coloured parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

FILLED: Final = "━"
HALF: Final = "╸"
EMPTY: Final = "─"  #: a sign of its own, not just another colour
EMPTY_STYLE: Final = "grey30"


def bar(width: int, total: int, parts: Sequence[tuple[int, str]]) -> Text:
    """A bar of `width` cells with a colour per part; full only when the parts add up to `total`."""
    text, style, count, halves = Text(no_wrap=True), EMPTY_STYLE, 0, 0
    for number, part_style in parts:
        if number <= 0 or total <= 0:
            continue
        count, style = count + number, part_style
        end = min(2 * width, round(2 * width * count / total))
        halves = max(halves, end if count >= total else min(end, 2 * width - 1))
        text.append(FILLED * (halves // 2 - len(text)), style)
    if halves % 2:
        text.append(HALF, style)
    return text.append(EMPTY * (width - len(text)), EMPTY_STYLE)
