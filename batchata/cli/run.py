"""`batchata run FILE`: every row of a file as a job."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from batchata.cli import batch_file, options
from batchata.cli.build import Inputs, make_batch
from batchata.cli.ending import finish
from batchata.cli.output import print_json, stderr, stdout

if TYPE_CHECKING:
    from batchata.core.pilot import PilotReport


class Format(StrEnum):
    """Shapes of the results folder."""

    json = "json"
    jsonl = "jsonl"
    parquet = "parquet"


def run(
    context: typer.Context,
    file: options.Rows = None,
    model: options.MaybeModel = None,
    prompt: options.Prompt = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    schema: options.Schema = None,
    id_column: options.IdColumn = None,
    endpoint: options.Endpoint = None,
    param: options.Param = None,
    limit_usd: options.LimitUsd = None,
    items_per_batch: options.ItemsPerBatch = None,
    max_parallel: options.MaxParallel = 10,
    route: options.Route = options.RouteOption.batch,
    live: options.Live = False,
    finish_within: options.FinishWithin = None,
    concurrency: options.Concurrency = None,
    rpm: options.Rpm = None,
    tpm: options.Tpm = None,
    pilot: options.Pilot = None,
    dedupe: options.Dedupe = False,
    cache: options.Cache = None,
    prices: options.Prices = None,
    allow_unpriced: options.AllowUnpriced = False,
    state: options.StateFile = None,
    results: options.ResultsDir = None,
    result_format: Annotated[
        Format, typer.Option(help="A file per job, or one for all.", rich_help_panel="Files")
    ] = Format.json,
    base_url: options.BaseUrl = None,
    from_batch_file: batch_file.From = None,
    to_batch_file: batch_file.To = None,
    poll_factor: options.PollFactor = 1.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent and cost; send nothing.")
    ] = False,
    as_json: options.Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before sending.")] = False,
) -> None:
    """Send each row of FILE as a job and write the answers down.

    Waits for them; that may take hours at a vendor, and Ctrl-C is safe at any time.
    The same command again goes on where the last one ended: no answered row is asked twice.

    Example: [bold]batchata run reviews.csv -m gpt-6-luna -p "Sum up: {text}" --limit-usd 5[/bold]
    """
    if batch_file.is_asked(from_batch_file, to_batch_file):
        batch_file.run_file(context.params)
        return
    if file is None or model is None:
        raise typer.BadParameter("give FILE and --model, or --from-batch-file")
    inputs = Inputs.of(context.params)
    if dry_run:
        show_estimate(inputs, as_json=as_json)
        return
    asks = not yes and not as_json and is_person_there()
    if asks:
        _confirm(inputs)
    batch = make_batch(inputs)
    if asks:
        batch.decide = _goes_on
    finish(batch, as_json=as_json)


def _goes_on(pilot: PilotReport) -> bool:
    """Show what a sample came to, and ask whether to go on."""
    from batchata.sinks.tables import print_pilot

    print_pilot(pilot, stderr())
    return typer.confirm("Go on?", err=True)


def show_estimate(inputs: Inputs, *, as_json: bool) -> None:
    """Print what a run would send and cost."""
    from batchata.sinks.tables import print_estimate

    found = make_batch(inputs).estimate()
    if as_json:
        print_json(found.to_dict())
    else:
        print_estimate(found, stdout())


def is_person_there() -> bool:
    """True when somebody can answer a question."""
    return sys.stdin.isatty()


def _confirm(inputs: Inputs) -> None:
    from batchata.sinks.tables import print_estimate

    found = make_batch(inputs).estimate()
    if not found.jobs:
        return
    print_estimate(found, stderr())
    typer.confirm("Send them?", abort=True, err=True)
