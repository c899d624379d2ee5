"""A run carried to its end, its report, and its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from batchata.cli.output import OK, SOME_FAILED, print_json, stdout

if TYPE_CHECKING:
    from batchata.batch import Batch
    from batchata.run import BatchRun


def finish(batch: Batch, *, as_json: bool) -> None:
    """Run a batch to its end and report; leaves with the exit code."""
    report(batch.run(print_status=not as_json), as_json=as_json)


def report(run: BatchRun, *, as_json: bool) -> None:
    """Print how a run ended; leaves with the exit code."""
    from batchata.sinks.summary import summarize
    from batchata.sinks.tables import print_summary

    status = run.status()
    summary = summarize(run.results().iter_all())
    if as_json:
        pilot = {} if run.pilot is None else {"pilot": run.pilot.to_dict()}
        print_json({"status": status, **summary.to_dict(), **pilot, **places(run)})
    else:
        print_summary(summary, stdout())
    all_done = status["completed"] == status["total"]
    raise typer.Exit(OK if all_done else SOME_FAILED)


def places(run: BatchRun) -> dict[str, Any]:
    """Where a run's files are."""
    view = run.view
    return {"results_dir": view.results_dir, "state_file": view.state_file}
