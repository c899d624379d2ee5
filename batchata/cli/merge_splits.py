"""`batchata merge-splits OUTPUT N`: the outputs of splits as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchata.cli.output import OK, SOME_FAILED, say
from batchata.cli.run import is_person_there


def merge_splits(
    output: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Output file, as it was given to each split.")
    ],
    num_splits: Annotated[
        int, typer.Argument(metavar="N", min=1, help="How many splits there are.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the splits; write nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace an OUTPUT that is there.")
    ] = False,
) -> None:
    """Join what `generate --split-id I --num-splits N` wrote, in the order of the splits.

    Refuses when a split is missing, or was made of another input or with another config.

    Example: [bold]batchata merge-splits answers.parquet 8[/bold]
    """
    from batchata.generate import merge_splits as merge

    if output.exists() and not yes and not dry_run and is_person_there():
        typer.confirm(f"Replace {output}?", abort=True, err=True)
        yes = True
    done = merge(output, num_splits, dry_run=dry_run, overwrite=yes)
    word = "would make" if dry_run else "make"
    say(f"{len(done.parts)} splits {word} {done.rows:,} rows: {done.output}")
    if done.failed:
        say(f"{done.failed:,} of them failed; `error` says why")
    raise typer.Exit(SOME_FAILED if done.failed else OK)
