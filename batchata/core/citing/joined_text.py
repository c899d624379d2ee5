"""Several texts as one, so that searching is one search; places lead back to the parts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property

from batchata.core.citing.plain import loose, plain


class JoinedText:
    """Plain texts joined; `start` of a part and the part of a place are known."""

    def __init__(self, parts: Iterable[str], *, between: str) -> None:
        known: dict[str, str] = {}
        self.parts: list[str] = []
        self.starts: list[int] = []
        place = 0
        for part in parts:
            if part not in known:
                known[part] = plain(part)
            self.parts.append(known[part])
            self.starts.append(place)
            place += len(known[part]) + len(between)
        #: with line breaks
        self.text = between.join(self.parts)
        #: line breaks are spaces; the same places
        self.flat = self.text.replace("\n", " ")

    @cached_property
    def loose(self) -> str:
        """Without accents and punctuation; the same places."""
        return loose(self.flat)

    def part_at(self, place: int) -> int:
        """The number of the part that holds the character at `place`."""
        return bisect_right(self.starts, place) - 1

    def bounds(self, part: int) -> tuple[int, int]:
        """The first place of a part and the place after it."""
        start = self.starts[part]
        return start, start + len(self.parts[part])
