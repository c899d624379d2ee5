"""Progress as plain lines, for logs, pipes and CI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from batchata.core.progress import RunView, SubmissionView
from batchata.sinks.wording import (
    about,
    clock_time,
    compact,
    pace,
    plural,
    possibly_billed,
    usd,
    usd_limit,
)

#: more endings than this between two views share one line
_MOST_ENDINGS: Final = 5
_SEPARATOR: Final = ", "


class PlainProgress:
    """Writes a line when the run starts, when a batch ends, now and then, and when the run ends."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float], every_seconds: float = 10
    ) -> None:
        self._write = write
        self._clock = clock
        self._every_seconds = every_seconds
        self._next = 0.0
        self._done = 0
        self._told: set[str] = set()

    def start_progress(self, view: RunView) -> None:
        """Say what is about to run."""
        counted = "reading jobs" if view.is_taking_in else plural(view.total, "job")
        parts = [f"run {view.run_id}: {counted}"]
        if view.done:
            parts.append(f"{view.done:,} done before")
        if view.limit_usd is not None:
            parts.append(f"limit {usd_limit(view.limit_usd)}")
        parts += _places(view)
        self._say(_SEPARATOR.join(parts))
        self._told = {each.token for each in view.active if each.is_finished}
        self._done = view.submissions_done

    def update_progress(self, view: RunView) -> None:
        """Say what ended; otherwise stay quiet until the next line is due."""
        ended = self._ended(view)
        if ended:
            self._say_endings(ended)
        if self._clock() >= self._next:
            self._say(_line(view))

    def handle_cancellation(self, view: RunView) -> None:
        """Say that the run is stopping."""
        self._say(_line(view))

    def finish_progress(self, view: RunView) -> None:
        """Say how it ended."""
        ended = self._ended(view)
        if ended:
            self._say_endings(ended)
        is_done = view.is_complete and view.done >= view.total
        word = "done in" if is_done else "stopped after"
        parts = [f"{word} {clock_time(view.elapsed_seconds)}: {_jobs(view)}", _money(view)]
        parts.append(
            f"{compact(view.input_tokens)} tokens in, {compact(view.output_tokens)} tokens out"
        )
        self._say(_SEPARATOR.join([*parts, *_places(view)]))

    def _ended(self, view: RunView) -> list[SubmissionView]:
        if view.submissions_done == self._done:
            return []
        self._done = view.submissions_done
        ended = [each for each in view.active if each.is_finished and each.token not in self._told]
        self._told.update(each.token for each in ended)
        return ended

    def _say_endings(self, ended: Sequence[SubmissionView]) -> None:
        if len(ended) <= _MOST_ENDINGS:
            for each in ended:
                self._write(f"batchata: {_ending(each)}")
            return
        lost = sum(each.failed for each in ended)
        self._write(f"batchata: {plural(len(ended), 'batch')} ended, {plural(lost, 'job')} failed")

    def _say(self, line: str) -> None:
        self._next = self._clock() + self._every_seconds
        self._write(f"batchata: {line}")


def _line(view: RunView) -> str:
    share = [] if view.is_taking_in else [f"{int(100 * view.fraction)} %"]
    parts = [*share, _jobs(view), _money(view)]
    parts.append(clock_time(view.elapsed_seconds))
    if view.eta_seconds is not None:
        parts.append(f"{about(view.eta_seconds)} left")
    if view.live is not None:
        parts += pace(view.live)
    if view.note:
        parts.append(view.note)
    return _SEPARATOR.join(parts)


def _jobs(view: RunView) -> str:
    losses = (
        (view.failed, "failed"),
        (view.cancelled, "cancelled"),
        (view.skipped, "skipped"),
    )
    listed = [f"{number:,} {word}" for number, word in losses if number]
    counted = f"{view.progressed:,} of {plural(view.total, 'job')}"
    return _SEPARATOR.join([f"{counted} so far" if view.is_taking_in else counted, *listed])


def _money(view: RunView) -> str:
    text = f"{'' if view.is_cost_exact else 'about '}{usd(view.spent_usd)} spent"
    if view.reserved_usd:
        text += f" (at most {usd(view.reserved_usd)} more reserved)"
    if view.limit_usd is not None:
        text += f" of {usd_limit(view.limit_usd)}"
    if view.uncertain_calls:
        text += f"{_SEPARATOR}{possibly_billed(view.uncertain_calls, view.uncertain_usd)}"
    return text


def _places(view: RunView) -> list[str]:
    named = (("results", view.results_dir), ("state", view.state_file))
    return [f"{name} {place}" for name, place in named if place is not None]


def _ending(each: SubmissionView) -> str:
    if each.batch_id is None and each.word == "failed":
        said = [f"{each.provider} batch of {plural(each.total, 'job')} was not sent", each.note]
        return _SEPARATOR.join(filter(None, said))
    parts = [f"{each.provider} {each.batch_id or each.token} {each.word}"]
    parts.append(f"{each.done - each.failed:,} of {plural(each.total, 'job')} ok")
    if each.started_at is not None and each.finished_at is not None:
        parts.append(clock_time((each.finished_at - each.started_at).total_seconds()))
    parts.append(usd(each.cost_usd))
    if each.note:
        parts.append(each.note)
    return _SEPARATOR.join(parts)
