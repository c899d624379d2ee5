"""A run and its estimate shown on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from batchata.core.estimate import Estimate
    from batchata.core.pilot import PilotReport
    from batchata.core.progress import RunView
    from batchata.sinks.terminal import RichBatchProgressDisplay


def make_display() -> RichBatchProgressDisplay:
    """What shows a run on a terminal."""
    from batchata.sinks.terminal import RichBatchProgressDisplay

    return RichBatchProgressDisplay()


def print_line(line: str) -> None:
    """Print a line where runs are shown."""
    make_display().console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_view(view: RunView) -> None:
    """Show a run once, as a still picture."""
    make_display().print_progress(view)


def show_pilot(report: PilotReport, console: Console) -> None:
    """Show what a sample came to."""
    from batchata.sinks.tables import print_pilot

    print_pilot(report, console)


def show_estimate(estimate: Estimate) -> None:
    """Show an estimate as a table."""
    from batchata.sinks.tables import print_estimate

    print_estimate(estimate)
