"""Makes a text that a simple regular expression accepts."""

import string
from collections.abc import Callable
from typing import Final

Roll = Callable[[int], int]

CLASSES: Final = {
    "d": string.digits,
    "w": string.ascii_lowercase + string.digits + "_",
    "s": " ",
    "D": string.ascii_lowercase,
    "W": "-",
    "S": string.ascii_lowercase,
}
ANY: Final = string.ascii_lowercase
PRINTABLE: Final = string.ascii_letters + string.digits + " -_.,:/"


def text_matching(pattern: str, roll: Roll) -> str:
    """Make a text for literals, classes, groups, alternatives and quantifiers."""
    return _Reader(pattern, roll).alternatives()


class _Reader:
    def __init__(self, pattern: str, roll: Roll) -> None:
        self._pattern = pattern
        self._at = 0
        self._roll = roll

    def alternatives(self) -> str:
        """Read up to the end of a group and give one of its alternatives."""
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        return options[self._roll(len(options))]

    def _sequence(self) -> str:
        made: list[str] = []
        while (char := self._peek()) not in ("", "|", ")"):
            if char in "^$":
                self._at += 1
                continue
            start = self._at
            first = self._atom()
            after = self._at
            low, high = self._quantifier()
            end = self._at
            count = low + (self._roll(min(high - low, 3) + 1) if high > low else 0)
            made.extend(self._repeat(start, count, first) if count else [])
            self._at = end if end > after else after
        return "".join(made)

    def _repeat(self, start: int, count: int, first: str) -> list[str]:
        made = [first]
        for _ in range(count - 1):
            self._at = start
            made.append(self._atom())
        return made

    def _atom(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._choose(self._set())
        if char == "\\":
            return self._escape()
        return self._choose(ANY) if char == "." else char

    def _group(self) -> str:
        if self._peek() == "?":
            while self._next() not in (":", ">", "="):
                continue
        made = self.alternatives()
        self._at += 1
        return made

    def _escape(self) -> str:
        char = self._next()
        if char in "bBAZz":
            return ""
        return self._choose(CLASSES[char]) if char in CLASSES else char

    def _set(self) -> str:
        is_negated = self._peek() == "^"
        self._at += is_negated
        members = ""
        while self._peek() != "]" or not members:
            char = self._next()
            if char == "\\":
                char = self._next()
                members += CLASSES.get(char, char)
            elif self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                members += "".join(map(chr, range(ord(char), ord(self._next()) + 1)))
            else:
                members += char
        self._at += 1
        return "".join(c for c in PRINTABLE if c not in members) if is_negated else members

    def _quantifier(self) -> tuple[int, int]:
        char = self._peek()
        if char not in ("*", "+", "?", "{"):
            return 1, 1
        self._at += 1
        low, high = {"*": (0, 3), "+": (1, 4), "?": (0, 1)}.get(char, (0, 0))
        if char == "{":
            end = self._pattern.index("}", self._at)
            parts = self._pattern[self._at : end].split(",")
            low = int(parts[0] or 0)
            high = low if len(parts) == 1 else int(parts[1] or low + 3)
            self._at = end + 1
        if self._peek() in ("?", "+"):
            self._at += 1
        return low, high

    def _choose(self, options: str) -> str:
        return options[self._roll(len(options))]

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise ValueError(f"the pattern {self._pattern!r} ends too early")
        self._at += 1
        return char
