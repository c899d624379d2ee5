"""`batchata cancel STATE`: ask the vendors to stop what is in flight."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchata.cli import options
from batchata.cli.files import config_of, kept_settings, state_file
from batchata.cli.output import OK, SOME_FAILED, print_json, say
from batchata.cli.status import describe

if TYPE_CHECKING:
    from batchata.core.config import RunConfig

_TICK_SECONDS = 0.2


def cancel(
    state: options.State,
    wait: Annotated[
        bool, typer.Option(help="Wait until the vendors have stopped, and collect what is done.")
    ] = True,
    poll_factor: options.PollFactor = 1.0,
    as_json: options.Json = False,
) -> None:
    """Cancel what a run has in flight.

    The vendors are asked to stop, and the answers that are there are collected. Answers that a
    vendor had finished are paid for, and kept. Leaves with 3 while something is still in
    flight.

    Example: [bold]batchata cancel reviews-results[/bold]
    """
    path = state_file(state)
    before = _look(path)
    if before["in_flight"]:
        config = config_of(kept_settings(path, None), poll_factor=poll_factor)
        _cancel(path, config, wait=wait, print_status=wait and not as_json)
    after = _look(path)
    asked, left = len(before["in_flight"]), len(after["in_flight"])
    collected = after["jobs"]["succeeded"] - before["jobs"]["succeeded"]
    if as_json:
        print_json({"asked": asked, "in_flight": left, "collected": collected, **after["jobs"]})
    else:
        say(_summary(path, asked, left, collected))
    raise typer.Exit(SOME_FAILED if left else OK)


def _look(path: Path) -> dict[str, Any]:
    from batchata.stores.sqlite import SQLiteStore

    with closing(SQLiteStore(path, read_only=True)) as store:
        return describe(store.load())


def _cancel(path: Path, config: RunConfig, *, wait: bool, print_status: bool) -> None:
    from batchata.run import BatchRun

    config = replace(config, on_stop="cancel")
    run = BatchRun.attach(path, config=config).start(print_status=print_status)
    ask = run.cancel if wait else run.stop
    try:
        # asked again until the run has heard it: it may not have begun
        while not run.wait(_TICK_SECONDS):
            ask()
    except KeyboardInterrupt:
        run.shutdown()
        raise


def _summary(path: Path, asked: int, left: int, collected: int) -> str:
    if not asked:
        return "nothing is in flight"
    ended = f"{asked} in flight, {asked - left} ended; {collected} answers collected"
    return f"{ended}\ncollect the rest later: batchata resume {path}" if left else ended
