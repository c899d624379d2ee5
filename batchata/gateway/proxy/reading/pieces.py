"""Text that is gathered from the pieces of a stream."""

from typing import Final

#: how many characters of an answer are gathered; a longer one is still relayed whole
MOST_TEXT: Final = 4 * 1024 * 1024


class Pieces:
    """Text that grows piece by piece, up to a limit."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def append(self, part: str) -> None:
        self._size += len(part)
        if self._size <= MOST_TEXT:
            self._parts.append(part)
            if len(self._parts) > 4096:  # a character in a list of its own takes sixty bytes
                self._parts = ["".join(self._parts)]

    def joined(self) -> str:
        return "".join(self._parts)
