"""Submissions as aligned rows for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from batchata.core.progress import BatchWord, SubmissionView
from batchata.sinks.bar import bar
from batchata.sinks.wording import clock_time, tail, usd, usd_most

SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_SPINS_PER_SECOND: Final = 8
_GAP: Final = 2
_WORD_WIDTH: Final = 10
_COST_WIDTH: Final = 10
_TIME_WIDTH: Final = 7
_LEAST_BAR: Final = 6
_WIDEST_BAR: Final = 30

#: glyph and colour of what has ended
_ENDINGS: Final[dict[BatchWord, tuple[str, str]]] = {
    "complete": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("■", "yellow"),
}
#: states in plainer words than the engine's own
_WORDS: Final = {
    "intended": "preparing",
    "creating": "sending",
    "accepted": "running",
    "collected": "done",
    "completed": "done",
    "dropped": "not sent",
}
#: the vendor is done, and any answers are being fetched
_FETCHING: Final = frozenset({"completed", "expired", "cancelled", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Widths:
    provider: int
    model: int
    batch_id: int
    bar: int
    count: int
    word: int
    time: int


class SubmissionRows:
    """Rows whose columns line up; narrow terminals lose columns, never the alignment."""

    def __init__(self, shown: Sequence[SubmissionView], columns: int, now: datetime) -> None:
        self._widths = _widths(shown, columns)
        self._now = now

    def lines(self, each: SubmissionView) -> list[Text]:
        """The row of one submission, and its note below it."""
        widths, row = self._widths, Text("  ", no_wrap=True)
        row.append_text(self._glyph(each)).append(" ")
        for text, width, style in (
            (each.provider, widths.provider, "dim"),
            (each.model, widths.model, ""),
            (tail(each.batch_id or "", widths.batch_id), widths.batch_id, "dim"),
        ):
            if width:
                row.append(_fit(text, width), style).append(" " * _GAP)
        row.append_text(_progress(each, widths.bar)).append(" " * _GAP)
        row.append(f"{_count(each):>{widths.count}}  ")
        if widths.word:
            row.append(_fit(_word(each), widths.word), _word_style(each)).append(" " * _GAP)
        row.append(f"{_cost(each):>{_COST_WIDTH}}", "" if each.is_finished else "dim")
        if widths.time:
            row.append(f"  {self._elapsed(each):>{widths.time}}", "dim")
        return [row, *([Text(f"      {each.note}", "yellow")] if each.note else [])]

    def _glyph(self, each: SubmissionView) -> Text:
        if each.is_finished:
            return Text(*_ENDINGS.get(each.word, ("✓", "green")))
        if each.state == "unresolved":
            return Text("?", "yellow")
        if each.word == "pending":
            return Text("·", "dim")
        turn = int(self._now.timestamp() * _SPINS_PER_SECOND)
        return Text(SPINNER[turn % len(SPINNER)], "cyan")

    def _elapsed(self, each: SubmissionView) -> str:
        if each.started_at is None:
            return ""
        end = each.finished_at or self._now
        return clock_time((end - each.started_at).total_seconds())


def _widths(shown: Sequence[SubmissionView], columns: int) -> _Widths:
    """Give every column the width it needs, the most useful ones first."""
    count = max((len(_count(each)) for each in shown), default=3)
    left = columns - 4 - (_LEAST_BAR + _GAP) - (count + _GAP) - _COST_WIDTH
    longest_model = min(24, _longest(each.model for each in shown))
    model, left = _take(left, min(longest_model, max(8, left - _GAP)))
    word, left = _take(left, _WORD_WIDTH)
    time, left = _take(left, _TIME_WIDTH)
    provider, left = _take(left, min(12, _longest(each.provider for each in shown)))
    # the bar gets a fair length before an id is shown in full
    id_width = min(18, _longest(each.batch_id or "" for each in shown))
    batch_id, left = _take(left, min(id_width, max(8, left - _GAP - 8)))
    return _Widths(
        provider=provider,
        model=model,
        batch_id=batch_id,
        bar=min(_WIDEST_BAR, _LEAST_BAR + max(0, left)),
        count=count,
        word=word,
        time=time,
    )


def _take(left: int, wanted: int) -> tuple[int, int]:
    return (wanted, left - wanted - _GAP) if wanted and left >= wanted + _GAP else (0, left)


def _longest(words: Iterable[str]) -> int:
    return max(map(cell_len, words), default=0)


def _fit(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return f"{set_cell_size(text, width - 1)}…"


def _count(each: SubmissionView) -> str:
    return f"{each.done:,}/{each.total:,}"


def _progress(each: SubmissionView, width: int) -> Text:
    ok = "green" if each.is_finished else "cyan"
    return bar(width, each.total, [(each.done - each.failed, ok), (each.failed, "red")])


def _word(each: SubmissionView) -> str:
    if not each.is_finished and each.state in _FETCHING:
        return "fetching"
    return _WORDS.get(each.state, each.state)


def _word_style(each: SubmissionView) -> str:
    if each.is_finished:
        return _ENDINGS.get(each.word, ("", "green"))[1]
    return "dim" if each.word == "pending" else ""


def _cost(each: SubmissionView) -> str:
    if each.reserved_usd and not each.is_finished:
        return usd_most(each.cost_usd + each.reserved_usd)
    return usd(each.cost_usd)
