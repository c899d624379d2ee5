"""`batchata list-models`: what servers of one's own have."""

from __future__ import annotations

import typer

from batchata.cli import generate_options as options
from batchata.cli.options import Json
from batchata.cli.output import print_json


def list_models(
    config: options.Config = None,
    url: options.ModelUrl = None,
    port: options.Port = None,
    as_json: Json = False,
) -> None:
    """List the models of servers that speak OpenAI's protocol.

    Example: [bold]batchata list-models -m http://localhost:8000/v1[/bold]
    """
    from batchata.cli.generate import flags_of
    from batchata.generate.checking import list_models as ask
    from batchata.generate.loading import load_model_config

    made = load_model_config(config, flags_of({"url": url, "port": port}))
    found = ask(made)
    if as_json:
        print_json(found)
        return
    for server, models in found.items():
        for model in models:
            typer.echo(model if len(found) == 1 else f"{server}  {model}")
