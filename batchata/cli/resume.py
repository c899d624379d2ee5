"""`batchata resume STATE`: collect what is in flight, without the script."""

from __future__ import annotations

from typing import Annotated

import typer

from batchata.cli import options
from batchata.cli.ending import report
from batchata.cli.files import config_of, kept_settings, state_file


def resume(
    state: options.State,
    pending: Annotated[
        bool, typer.Option("--pending", help="Also send the jobs that were never sent.")
    ] = False,
    limit_usd: options.OtherLimitUsd = None,
    items_per_batch: options.ItemsPerBatch = None,
    max_parallel: options.MaxParallel = 10,
    results: options.OtherResultsDir = None,
    on_unresolved: options.OnUnresolved = options.Unresolved.wait,
    poll_factor: options.PollFactor = 1.0,
    as_json: options.Json = False,
) -> None:
    """Collect what a run has in flight.

    Waits for its batches and writes their answers down. Needs no script and no input file.
    Jobs that wait to be sent are sent with --pending only; a batch that was on its way when the
    run was killed is looked for, and sent if the vendor does not have it.

    Example: [bold]batchata resume reviews-results --pending[/bold]
    """
    from batchata.run import BatchRun

    path = state_file(state)
    config = config_of(
        kept_settings(path, results),
        limit_usd=limit_usd,
        items_per_batch=items_per_batch,
        max_parallel=max_parallel,
        poll_factor=poll_factor,
        on_unresolved=on_unresolved.value,
    )
    run = BatchRun.attach(path, config=config, send_pending=pending)
    run.execute(print_status=not as_json)
    report(run, as_json=as_json)
