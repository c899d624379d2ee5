"""Options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from batchata.core.errors import ValidationError

_JOBS = "Jobs"
_LIMITS = "Limits"
_FILES = "Files"
_VENDOR = "Vendor"


class RouteOption(StrEnum):
    """How jobs reach the vendor."""

    batch = "batch"
    live = "live"
    background = "background"
    auto = "auto"


class Unresolved(StrEnum):
    """What becomes of a batch that the vendor may have and cannot tell of."""

    wait = "wait"
    ask = "ask"
    resubmit = "resubmit"


Rows = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="Rows: .jsonl, .csv or .parquet.",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]
State = Annotated[
    Path,
    typer.Argument(
        metavar="STATE", help="State file of a run, or the results folder that holds one."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help='As "gpt-6-luna" or "openai:gpt-6-luna".', rich_help_panel=_JOBS
    ),
]
MaybeModel = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help='As "gpt-6-luna" or "openai:gpt-6-luna".', rich_help_panel=_JOBS
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        "-p",
        help="Template with {column}; {{ and }} are braces; @FILE reads it from a file. "
        "Without it each row has a column 'prompt' or 'messages'.",
        rich_help_panel=_JOBS,
    ),
]
System = Annotated[
    str | None, typer.Option(help="System prompt of every job.", rich_help_panel=_JOBS)
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=1, help="Most tokens of an answer; 1000 if not given.", rich_help_panel=_JOBS),
]
Schema = Annotated[
    Path | None,
    typer.Option(
        help="JSON Schema that each answer must fit.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_JOBS,
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(help="Column with an id of your own for each job.", rich_help_panel=_JOBS),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        help="chat, responses, embeddings or messages; by the model if not given.",
        rich_help_panel=_JOBS,
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Any other parameter of the vendor; VALUE is JSON, else text. Repeatable.",
        rich_help_panel=_JOBS,
    ),
]
LimitUsd = Annotated[
    float | None,
    typer.Option(
        min=0, help="Never spend more, over all runs of the state file.", rich_help_panel=_LIMITS
    ),
]
ItemsPerBatch = Annotated[
    int | None,
    typer.Option(
        min=1, help="Jobs in a batch; the vendor's limit if not given.", rich_help_panel=_LIMITS
    ),
]
Route = Annotated[
    RouteOption,
    typer.Option(
        help="batch: half the price, within a day; live: at once; background: OpenAI responses, "
        "fetched when they are done; auto: live where no batch can be made, or where it is late.",
        rich_help_panel=_LIMITS,
    ),
]
Live = Annotated[
    bool, typer.Option("--live", help="The same as --route live.", rich_help_panel=_LIMITS)
]
FinishWithin = Annotated[
    float | None,
    typer.Option(
        metavar="HOURS",
        min=0,
        help="Send batches first; what is not back within this many hours goes live.",
        rich_help_panel=_LIMITS,
    ),
]
Concurrency = Annotated[
    int | None,
    typer.Option(min=1, help="Most live calls in flight, for each model.", rich_help_panel=_LIMITS),
]
Rpm = Annotated[
    int | None,
    typer.Option(
        "--rpm", min=1, help="Most live calls a minute, for each model.", rich_help_panel=_LIMITS
    ),
]
Tpm = Annotated[
    int | None,
    typer.Option(
        "--tpm", min=1, help="Most tokens a minute, for each model.", rich_help_panel=_LIMITS
    ),
]
Pilot = Annotated[
    str | None,
    typer.Option(
        metavar="JOBS|PERCENT%",
        help="Ask this many live first, such as 20 or 1%; show answers, failures and the bill "
        "to come, and ask whether to go on.",
        rich_help_panel=_LIMITS,
    ),
]
Dedupe = Annotated[
    bool,
    typer.Option("--dedupe", help="Ask identical rows only once.", rich_help_panel=_LIMITS),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        help="File that keeps answers beyond this run; what is in it is not asked again.",
        dir_okay=False,
        rich_help_panel=_FILES,
    ),
]
MaxParallel = Annotated[
    int, typer.Option(min=1, help="Batches in flight at a time.", rich_help_panel=_LIMITS)
]
OnUnresolved = Annotated[
    Unresolved,
    typer.Option(
        help="What a vendor may have and cannot tell of: wait for it, ask again at the next run, "
        "or send it again at the risk of paying twice."
    ),
]
Prices = Annotated[
    Path | None,
    typer.Option(
        help='JSON file of your own prices: {"model": {"input": 1, "output": 4}}, '
        "USD per million tokens.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_LIMITS,
    ),
]
AllowUnpriced = Annotated[
    bool,
    typer.Option(
        "--allow-unpriced", help="Count a model without a price as free.", rich_help_panel=_LIMITS
    ),
]
StateFile = Annotated[
    Path | None,
    typer.Option(
        "--state", help="State file; RESULTS/state.db if not given.", rich_help_panel=_FILES
    ),
]
ResultsDir = Annotated[
    Path | None,
    typer.Option(
        "--results",
        help="Results folder; the name of FILE with '-results' if not given.",
        file_okay=False,
        rich_help_panel=_FILES,
    ),
]
OtherLimitUsd = Annotated[
    float | None, typer.Option(help="Another cost limit; the run's own if not given.")
]
OtherResultsDir = Annotated[
    Path | None,
    typer.Option("--results", help="Results folder, where it is not the state file's own."),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="Address of the model's vendor, as of a sandbox.", rich_help_panel=_VENDOR),
]
PollFactor = Annotated[
    float,
    typer.Option(
        min=0, hidden=True, help="Stretch (above 1) or shorten (below 1) the polling pace."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Report as JSON on stdout, for programs.")]


def route_of(route: RouteOption, *, live: bool) -> Literal["batch", "live", "background", "auto"]:
    """The route that --route and --live name together; ValidationError where they disagree."""
    if live and route in (RouteOption.auto, RouteOption.background):
        raise ValidationError(f"--live and --route {route} disagree", hint="give one of them")
    return "live" if live else route.value
