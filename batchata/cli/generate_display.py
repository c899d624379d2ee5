"""How a generation looks while it goes on, and what is told at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchata.cli.output import say, stderr
from batchata.sinks.wording import about, clock_time, compact, usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from batchata.generate import Progress, ServerMetrics, Summary
    from batchata.generate.checking import Preview

_EVERY_SECONDS = 10.0
Watch = Callable[["Progress"], None]


@contextmanager
def shown(*, is_on: bool) -> Iterator[Watch | None]:
    """What shows a generation's progress: a bar on a terminal, a line now and then elsewhere."""
    console = stderr()
    if not is_on:
        yield None
    elif console.is_interactive and console.file.isatty():
        with _bar() as watch:
            yield watch
    else:
        yield _teller()


@contextmanager
def _bar() -> Iterator[Watch]:
    from rich.live import Live

    last: list[Progress] = []
    with Live(
        console=stderr(), get_renderable=lambda: _picture(last), refresh_per_second=8
    ) as live:

        def watch(progress: Progress) -> None:
            last[:] = [progress]

        yield watch
        live.refresh()


def _picture(last: list[Progress]) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    if not last:
        return Text("reading the rows")
    progress = last[0]
    bar = Table.grid()  # by itself a bar does not end its line
    bar.add_row(ProgressBar(progress.answers_wanted, progress.answers, width=60))
    lines: list[RenderableType] = [bar, Text(_line(progress))]
    if len(progress.servers) > 1:
        lines.extend(Text(_server(each)) for each in progress.servers)
    return Group(*lines)


def _teller() -> Watch:
    next_at = time.monotonic() + _EVERY_SECONDS

    def watch(progress: Progress) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + _EVERY_SECONDS
            say(f"batchata: {_line(progress)}")

    return watch


def _line(progress: Progress) -> str:
    tokens = progress.input_tokens + progress.output_tokens
    share = progress.answers / progress.answers_wanted if progress.answers_wanted else 1.0
    parts = [
        f"{int(100 * share)} %",
        f"{progress.answers:,} of {progress.answers_wanted:,} answers",
        f"{progress.rate:,.0f}/s",
        f"{compact(int(tokens / progress.seconds)) if progress.seconds else 0} tokens/s",
        f"{progress.in_flight} in flight",
    ]
    if progress.failed:
        parts.insert(2, f"{progress.failed:,} failed")
    if progress.workers > 1:
        parts.append(f"{progress.workers} workers")
    if len(progress.servers) == 1:
        parts.append(_seconds(progress.servers[0]))
    if progress.eta_seconds is not None:
        parts.append(f"{about(progress.eta_seconds)} left")
    return ", ".join(parts)


def _server(server: ServerMetrics) -> str:
    state = "" if server.is_up else ", down"
    failed = f", {server.failed:,} failed" if server.failed else ""
    return f"{server.url}: {server.answered:,} answers{failed}, {_seconds(server)}{state}"


def _seconds(server: ServerMetrics) -> str:
    if server.p50_seconds is None or server.p99_seconds is None:
        return "no answer yet"
    return f"{server.p50_seconds:.2f} s each, at most {server.p99_seconds:.2f} s for 99 %"


def summary_lines(summary: Summary) -> Iterator[str]:
    """How a generation ended, for a person."""
    if not summary.is_new:
        yield f"done before, nothing was sent: {summary.output}"
    else:
        yield (
            f"{summary.total_responses - summary.failed:,} of {summary.total_responses:,} answers "
            f"in {clock_time(summary.processing_time)}, {summary.responses_per_second:,.0f}/s, "
            f"{summary.tokens_per_second:,.0f} tokens/s: {summary.output}"
        )
    if summary.cost_usd:
        yield f"{usd(summary.cost_usd)} spent"
    if summary.truncated:
        yield f"{summary.truncated:,} answers were cut at max_tokens"
    if summary.failed:
        yield f"{summary.failed:,} failed; the same command asks them again"
        yield f"first error: {summary.first_error or '':.300}"
    if len(summary.servers) > 1:
        yield from (_server(each) for each in summary.servers)


def preview_lines(preview: Preview) -> Iterator[str]:
    """What a generation would send, for a person."""
    yield f"{preview.rows:,} rows, {preview.requests:,} requests in {preview.parts:,} parts"
    yield f"model:   {preview.model or 'the first that the server lists'}"
    yield f"output:  {preview.output}"
    yield f"columns: {', '.join(preview.columns)}"
    if preview.first_request is not None:
        said = json.dumps(preview.first_request, ensure_ascii=False, indent=2)
        yield f"first request: {said}"
    if preview.input_tokens is not None and preview.output_tokens is not None:
        yield (
            f"at most {compact(preview.input_tokens)} tokens in and "
            f"{compact(preview.output_tokens)} tokens out"
        )
    if preview.cost_usd is not None:
        yield f"at most {usd(preview.cost_usd)}"
    if preview.bad_rows:
        yield f"{preview.bad_rows:,} rows cannot be sent; the first: {preview.first_error}"
