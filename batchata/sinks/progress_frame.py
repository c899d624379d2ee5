"""One frame of a run's display as styled text; pure, so a terminal can redraw it at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.text import Text

from batchata.core.progress import RunView, SubmissionView
from batchata.sinks.bar import bar
from batchata.sinks.submission_rows import SubmissionRows
from batchata.sinks.wording import (
    about,
    clock_time,
    compact,
    pace,
    plural,
    possibly_billed,
    usd,
    usd_limit,
    usd_most,
)

WIDEST: Final = 132
MOST_ROWS: Final = 12
#: lines around the rows of submissions: live calls, lost answers, a note, the cursor and more
OTHER_LINES: Final = 14
INDENT: Final = "  "
SEPARATOR: Final = " · "


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where and when a view is drawn."""

    width: int
    height: int
    now: datetime
    drift_seconds: float = 0.0  #: how long ago the view was true
    is_final: bool = False

    @property
    def columns(self) -> int:
        """The columns in use, fewer on wide terminals: long lines are hard to read."""
        return min(self.width, WIDEST) - 1

    @property
    def rows(self) -> int:
        """How many submissions there is room for."""
        return max(1, min(MOST_ROWS, self.height - OTHER_LINES))


def frame(view: RunView, moment: Moment) -> list[Text]:
    """Draw a run: header, submissions, footer."""
    blocks = [_header(view, moment), _submissions(view, moment), _footer(view)]
    lines: list[Text] = []
    for block in blocks:
        if block and lines:
            lines.append(Text())
        lines.extend(block)
    return lines


def _header(view: RunView, moment: Moment) -> list[Text]:
    columns = moment.columns
    percent = "" if view.is_taking_in else f"{int(100 * view.fraction):>4} %"
    ok = "green" if view.is_complete else "cyan"
    lost = view.failed + view.cancelled + view.skipped
    ahead = view.progressed - view.done
    overall = bar(
        max(8, columns - len(INDENT) - len(percent)),
        view.total,
        [(view.succeeded, ok), (lost, "red"), (ahead, "dark_cyan")],
    )
    lines = [
        *_sides(_title(view, moment), _times(view, moment), columns),
        Text(INDENT).append_text(overall).append(percent, "bold"),
        *_sides(_jobs(view), _batches(view), columns),
        *_sides(_money(view), _tokens(view), columns),
    ]
    if view.uncertain_calls:
        doubt = possibly_billed(view.uncertain_calls, view.uncertain_usd)
        lines.append(Text(f"{INDENT}{doubt}", "yellow"))
    if view.live is not None:
        lines.append(Text(f"{INDENT}{SEPARATOR.join(pace(view.live))}"))
    if view.note:
        lines.append(Text(f"{INDENT}{view.note}", "yellow"))
    return lines


def _title(view: RunView, moment: Moment) -> Text:
    if not moment.is_final:
        return Text.assemble(("batchata", "bold"), (f"  run {view.run_id}", "dim"))
    elapsed = clock_time(view.elapsed_seconds)
    if view.is_complete and view.done >= view.total:
        return Text.assemble(("✓ ", "green"), (f"done in {elapsed}", "bold"))
    return Text.assemble(("■ ", "yellow"), (f"stopped after {elapsed}", "bold"))


def _times(view: RunView, moment: Moment) -> Text:
    if moment.is_final:
        return Text(f"run {view.run_id}", "dim")
    text = Text(clock_time(view.elapsed_seconds + moment.drift_seconds))
    left = view.eta_seconds
    if left is not None and not view.is_complete:
        text.append(f"{SEPARATOR}{about(max(0.0, left - moment.drift_seconds))} left", "dim")
    return text


def _jobs(view: RunView) -> Text:
    so_far = " so far" if view.is_taking_in else ""
    text = Text(f"{INDENT}{view.progressed:,} of {plural(view.total, 'job')}{so_far}")
    for number, word, style in (
        (view.failed, "failed", "red"),
        (view.cancelled, "cancelled", "yellow"),
        (view.skipped, "skipped", "yellow"),
    ):
        if number:
            text.append(SEPARATOR, "dim").append(f"{number:,} {word}", style)
    return text


def _batches(view: RunView) -> Text:
    if not view.submissions_total:
        return Text()
    return Text(f"{view.submissions_done:,} of {plural(view.submissions_total, 'batch')}", "dim")


def _money(view: RunView) -> Text:
    about_sign = "" if view.is_cost_exact or not view.spent_usd else "≈ "
    text = Text(f"{INDENT}{about_sign}{usd(view.spent_usd)} spent")
    if view.reserved_usd:
        text.append(f"{SEPARATOR}{usd_most(view.reserved_usd)} reserved", "dim")
    if view.limit_usd is not None:
        text.append(f"{SEPARATOR}limit {usd_limit(view.limit_usd)}", "dim")
    return text


def _tokens(view: RunView) -> Text:
    tokens_in, tokens_out = compact(view.input_tokens), compact(view.output_tokens)
    return Text(f"{tokens_in} tokens in{SEPARATOR}{tokens_out} out", "dim")


def _submissions(view: RunView, moment: Moment) -> list[Text]:
    waiting = [each for each in view.active if not each.is_finished]
    finished = [each for each in view.active if each.is_finished]
    # what moves comes first; the sort is stable, so rows keep their order
    waiting.sort(key=lambda each: each.word == "pending")
    finished.sort(key=lambda each: each.finished_at or moment.now, reverse=True)
    shown = [*waiting, *finished][: moment.rows]
    rows = SubmissionRows(shown, moment.columns, moment.now)
    lines = [line for each in shown for line in rows.lines(each)][: moment.rows]
    rest = _rest(view, waiting, shown)
    return [*lines, *([rest] if rest else [])]


def _rest(
    view: RunView, unfinished: Sequence[SubmissionView], shown: Sequence[SubmissionView]
) -> Text | None:
    ended = sum(each.is_finished for each in shown)
    running = len(unfinished) - (len(shown) - ended)
    done = max(0, view.submissions_done - ended)
    counts = ((running, "in flight"), (view.submissions_waiting, "waiting"), (done, "done"))
    more = sum(number for number, _ in counts)
    if not more:
        return None
    listed = [f"{number:,} {word}" for number, word in counts if number]
    if len(listed) == 1:
        return Text(f"{INDENT}… and {listed[0]}", "dim")
    return Text(f"{INDENT}… and {more:,} more ({', '.join(listed)})", "dim")


def _footer(view: RunView) -> list[Text]:
    named = (("results", view.results_dir), ("state", view.state_file))
    return [
        Text(f"{INDENT}{name:<9}", "dim").append(place)
        for name, place in named
        if place is not None
    ]


def _sides(left: Text, right: Text, columns: int) -> list[Text]:
    gap = columns - left.cell_len - right.cell_len
    if not right:
        return [left]
    if gap < 2:
        return [left, Text(INDENT).append_text(right)]
    return [left.append(" " * gap).append_text(right)]
