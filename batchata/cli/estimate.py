"""`batchata estimate FILE`: what a run would send and cost."""

from __future__ import annotations

from batchata.cli import options
from batchata.cli.build import Inputs
from batchata.cli.run import show_estimate


def estimate(
    file: options.Rows,
    model: options.Model,
    prompt: options.Prompt = None,
    system: options.System = None,
    max_tokens: options.MaxTokens = None,
    schema: options.Schema = None,
    id_column: options.IdColumn = None,
    endpoint: options.Endpoint = None,
    param: options.Param = None,
    limit_usd: options.LimitUsd = None,
    items_per_batch: options.ItemsPerBatch = None,
    prices: options.Prices = None,
    allow_unpriced: options.AllowUnpriced = False,
    state: options.StateFile = None,
    results: options.ResultsDir = None,
    as_json: options.Json = False,
) -> None:
    """Show what `run` with the same options would send and cost.

    Sends nothing, writes nothing and needs no key.

    Example: [bold]batchata estimate reviews.csv -m claude-haiku-5-5 -p "Sum up: {text}"[/bold]
    """
    inputs = Inputs(
        rows=file,
        model=model,
        prompt=prompt,
        system=system,
        max_tokens=max_tokens,
        schema=schema,
        id_column=id_column,
        endpoint=endpoint,
        params=param or (),
        limit_usd=limit_usd,
        items_per_batch=items_per_batch,
        prices=prices,
        allow_unpriced=allow_unpriced,
        state=state,
        results=results,
    )
    show_estimate(inputs, as_json=as_json)
