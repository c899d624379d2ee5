"""`batchata validate -c config.yaml`: whether a generation can be done."""

from __future__ import annotations

from typing import Annotated

import typer

from batchata.cli import generate_options as options
from batchata.cli.output import ERROR, OK, complain, say


def validate(
    config: options.Config = None,
    input_path: options.Input = None,
    output_path: options.Output = None,
    url: options.ModelUrl = None,
    port: options.Port = None,
    others: options.Set = None,
    sends_one: Annotated[
        bool, typer.Option("--one-row/--no-row", help="Ask about the first row, too.")
    ] = True,
) -> None:
    """Look at the rows of a config, their columns, the output, the servers, and one answer.

    Example: [bold]batchata validate -c config.yaml[/bold]
    """
    from batchata.cli.generate import flags_of
    from batchata.generate import GenerationPipeline, load_config

    given = {
        "input_path": input_path,
        "output_path": output_path,
        "url": url,
        "port": port,
        "others": others,
    }
    made = load_config(config, flags_of(given))
    for check in GenerationPipeline(made).validate(sends_one=sends_one):
        if check.error is not None:
            complain(f"{check.what}: {check.error.message}", check.error.hint)
            raise typer.Exit(ERROR)
        say(f"{check.what}: {check.said}")
    raise typer.Exit(OK)
