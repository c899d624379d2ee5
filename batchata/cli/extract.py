"""`batchata extract INPUT OUTPUT`: a file of rows in, the same file with answers out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from batchata.cli import options
from batchata.cli.output import OK, SOME_FAILED, print_json, say
from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    from batchata.frames.output import Ended

_TABLE: Final = "Table"
_LIMITS: Final = "Limits"


def extract(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="Rows: .csv, .jsonl or .parquet.", exists=True, dir_okay=False
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="File to write: the same rows with their answers."),
    ],
    model: options.Model,
    prompt: Annotated[
        str,
        typer.Option(
            "--prompt", "-p", help="What to extract from each text; @FILE reads it from a file."
        ),
    ],
    schema: Annotated[
        Path | None,
        typer.Option(help="JSON Schema of one row's answer.", exists=True, dir_okay=False),
    ] = None,
    text_col: Annotated[str, typer.Option(help="Column of texts.", rich_help_panel=_TABLE)] = (
        "text"
    ),
    id_col: Annotated[
        str | None,
        typer.Option(
            help="Column of ids; 'id', or else the row's number, if not given.",
            rich_help_panel=_TABLE,
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace an OUTPUT that is there.", rich_help_panel=_TABLE
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(help="File that keeps answers; OUTPUT.cache if not given.", dir_okay=False),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask again what the cache holds.")] = False,
    is_live: Annotated[
        bool, typer.Option("--live/--batch", help="At once, or for half the price within a day.")
    ] = True,
    chunk_size: Annotated[int, typer.Option(min=1, help="Rows that share a request.")] = 5,
    max_workers: Annotated[int, typer.Option(min=1, help="Live calls at a time.")] = 20,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of an answer, which is about --chunk-size rows; the model's own "
            "if not given.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    limit_usd: Annotated[
        float | None,
        typer.Option(
            min=0, help="Never spend more in this call of the command.", rich_help_panel=_LIMITS
        ),
    ] = None,
    param: options.Param = None,
    base_url: options.BaseUrl = None,
    poll_factor: options.PollFactor = 1.0,
    as_json: options.Json = False,
) -> None:
    """Ask about the text of each row of INPUT, and write the rows with their answers to OUTPUT.

    Every row is there, in order, with 'status' and 'error'. Ctrl-C loses nothing that was paid
    for: the same command again asks only what was not answered.

    Example: [bold]batchata extract reviews.csv moods.csv -m gpt-6-luna -p "Name the mood."[/bold]
    """
    from batchata.cli.answered import Answered, write_answered
    from batchata.cli.build import param_of, text_of
    from batchata.cli.tables import FileTable
    from batchata.core.models import infer_provider
    from batchata.frames.asking import make_asking
    from batchata.frames.extracting import Reach, reuse_of
    from batchata.frames.extracting import extract as ask
    from batchata.frames.extraction import ExtractionOptions
    from batchata.providers.registry import provider_names

    _check_target(source, target, overwrite=overwrite)
    provider, bare = infer_provider(model, provider_names())
    asking = make_asking(
        prompt=text_of(prompt),
        model=bare,
        backend=provider,
        schema=schema,
        max_tokens=max_tokens,
        params=dict(map(param_of, param or ())),
    )
    route: Literal["batch", "live"] = "live" if is_live else "batch"
    reach = Reach(
        provider=provider,
        base_url=base_url,
        route=route,
        concurrency=max_workers,
        limit_usd=limit_usd,
        poll_factor=poll_factor,
        go_on="run the same command again",
    )
    extraction = ExtractionOptions(
        asking=asking,
        connect=reach.batch,
        rows_per_request=chunk_size,
        reuse=reuse_of(fresh, False),
        print_status=not as_json,
    )
    with FileTable(source, target.absolute().parent) as table:
        id_name = table.id_column(id_col)
        ended = ask(
            table.pairs(id_name, text_col),
            extraction,
            cache or target.with_name(target.name + ".cache"),
            texts=table.texts,
            names=(id_name or "id", text_col),
        )
        write_answered(Answered(table, ended, asking.schema), target)
    _report(ended, target, as_json=as_json)


def _check_target(source: Path, target: Path, *, overwrite: bool) -> None:
    from batchata.rows.files import reader_of

    reader_of(target)
    if target.is_dir():
        raise ValidationError(f"{target} is a folder", hint="name a file in it")
    if target.exists() and target.samefile(source):
        raise ValidationError(f"{target} is the input as well", hint="name another file")
    if target.exists() and not overwrite:
        raise ValidationError(
            f"{target} is there already", hint="name another file, or give --overwrite"
        )
    if not target.absolute().parent.is_dir():
        raise ValidationError(
            f"the folder of {target} does not exist", hint=f"mkdir -p {target.parent}"
        )


def _report(ended: Ended, target: Path, *, as_json: bool) -> None:
    good = sum(each.status == "succeeded" for each in ended)
    counts: dict[str, Any] = {
        "rows": len(ended),
        "succeeded": good,
        "failed": len(ended) - good,
        "output": str(target),
    }
    if as_json:
        print_json(counts)
    else:
        say(f"{good:,} of {len(ended):,} rows have an answer: {target}")
        first = next((each.error for each in ended if each.error), None)
        if first is not None:
            say(f"first error: {first:.300}")
    raise typer.Exit(OK if good == len(ended) else SOME_FAILED)
