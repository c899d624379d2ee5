"""`batchata retry STATE`: ask again what did not succeed, without the script."""

from __future__ import annotations

from batchata.cli import options
from batchata.cli.ending import report
from batchata.cli.files import config_of, kept_settings, state_file


def retry(
    state: options.State,
    limit_usd: options.OtherLimitUsd = None,
    items_per_batch: options.ItemsPerBatch = None,
    max_parallel: options.MaxParallel = 10,
    results: options.OtherResultsDir = None,
    poll_factor: options.PollFactor = 1.0,
    as_json: options.Json = False,
) -> None:
    """Ask again what failed, was cancelled or was skipped.

    Takes every reason, also those that a run does not try again by itself: mend the cause first,
    or raise the limit with --limit-usd. What succeeded stays as it is and is not paid again.

    Example: [bold]batchata retry reviews-results --limit-usd 5[/bold]
    """
    from batchata.run import BatchRun

    path = state_file(state)
    config = config_of(
        kept_settings(path, results),
        limit_usd=limit_usd,
        items_per_batch=items_per_batch,
        max_parallel=max_parallel,
        poll_factor=poll_factor,
    )
    run = BatchRun.attach(path, config=config).retry_failed(print_status=not as_json)
    report(run, as_json=as_json)
