"""`batchata estimate FILE`: what a run would send and cost."""

from __future__ import annotations

import typer

from batchata.cli import options
from batchata.cli.build import Inputs
from batchata.cli.generate_options import Config
from batchata.cli.run import show_estimate


def estimate(
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
    route: options.Route = options.RouteOption.batch,
    live: options.Live = False,
    dedupe: options.Dedupe = False,
    prices: options.Prices = None,
    allow_unpriced: options.AllowUnpriced = False,
    state: options.StateFile = None,
    results: options.ResultsDir = None,
    config: Config = None,
    as_json: options.Json = False,
) -> None:
    """Show what `run`, or `generate` with a config, would send and cost.

    Sends nothing, writes nothing and needs no key.

    Example: [bold]batchata estimate reviews.csv -m claude-haiku-5-5 -p "Sum up: {text}"[/bold]
    """
    if config is not None:
        from batchata.cli.generate import show_preview
        from batchata.generate import load_config

        show_preview(load_config(config), as_json=as_json, counts_all=True)
        return
    if file is None or model is None:
        raise typer.BadParameter("give FILE and --model, or --config")
    show_estimate(Inputs.of(context.params), as_json=as_json)
