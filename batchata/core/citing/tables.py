"""Labels of a cell in a table of the kind "| a | b |"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_LONGEST_LINE: Final = 2_000


class Tables:
    """The tables of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: start of a row to the start of its table
        self._tops: dict[int, int] = {}

    def labels(self, place: int) -> tuple[str, ...]:
        """The texts that label the cell at `place`: its column's head, its row's first cell.

        In a table of two columns the first cell of the row is the label.
        """
        return _labels(self._text, place, self._head)

    def _head(self, row_start: int, column: int) -> tuple[str, ...]:
        """The cell of the table's first line in this column, unless this is the first line."""
        top = self._top(row_start)
        cells = _line(self._text, top)[1].split("|") if top < row_start else []
        return (cells[column],) if column < len(cells) else ()

    def _top(self, row_start: int) -> int:
        rows, start = [row_start], row_start
        while start > 0 and start not in self._tops:
            above_start, above = _line(self._text, start - 1)
            if "|" not in above:
                break
            start = above_start
            rows.append(start)
        top = self._tops.get(start, start)
        self._tops.update(dict.fromkeys(rows, top))
        return top


def _labels(
    text: str, place: int, head_of: Callable[[int, int], tuple[str, ...]]
) -> tuple[str, ...]:
    row_start, row = _line(text, place)
    if "|" not in row:
        return ()
    column = text.count("|", row_start, place)
    cells = row.split("|")
    first = 1 if row.lstrip().startswith("|") else 0
    if column <= first:
        return head_of(row_start, column)
    own_row = cells[first]
    filled = [cell for cell in cells[first:] if cell.strip()]
    if len(filled) <= 2:
        return (own_row,)
    head = head_of(row_start, column)
    return (*head, own_row) if head else (own_row, cells[column - 1])


def line_start(text: str, place: int) -> int:
    """Where the line of `place` begins; lines without end are cut."""
    floor = max(0, place - _LONGEST_LINE)
    start = text.rfind("\n", floor, place)
    return start + 1 if start >= 0 else floor


def _line(text: str, place: int) -> tuple[int, str]:
    start = line_start(text, place)
    end = text.find("\n", place, place + _LONGEST_LINE)
    return start, text[start : end if end >= 0 else place + _LONGEST_LINE]
