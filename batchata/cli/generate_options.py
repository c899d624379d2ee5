"""Options of `batchata generate`: one for each key of its config that is often changed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DATA = "Data"
_MODEL = "Model"
_GENERATION = "Generation"
_WORK = "Work"
_SAYING = "Progress and logs"


class Endpoint(StrEnum):
    """Endpoints that a server may have."""

    chat = "chat"
    responses = "responses"


class Engine(StrEnum):
    """Where workers may be."""

    local = "local"
    ray = "ray"


class Level(StrEnum):
    """How much is logged."""

    debug = "DEBUG"
    info = "INFO"
    warning = "WARNING"
    error = "ERROR"


Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="YAML file; flags win over it.", exists=True, dir_okay=False
    ),
]
Input = Annotated[
    Path | None,
    typer.Option("--input", "-i", help="Rows: .parquet, .csv or .jsonl.", rich_help_panel=_DATA),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The same rows with answers.", rich_help_panel=_DATA),
]
InputColumn = Annotated[
    str | None, typer.Option(help="Column of prompts; 'question'.", rich_help_panel=_DATA)
]
OutputColumn = Annotated[
    str | None, typer.Option(help="Column of answers; 'response'.", rich_help_panel=_DATA)
]
PromptTemplate = Annotated[
    str | None,
    typer.Option(help="Prompt with {column} for values, over any columns.", rich_help_panel=_DATA),
]
CopyColumns = Annotated[
    list[str] | None,
    typer.Option(help="Input column to keep; all if not given. Repeatable.", rich_help_panel=_DATA),
]
FilterCondition = Annotated[
    str | None,
    typer.Option(help="""Rows to ask, as 'score > 3 and lang == "en"'.""", rich_help_panel=_DATA),
]
Limit = Annotated[
    int | None, typer.Option(min=1, help="Ask at most this many rows.", rich_help_panel=_DATA)
]
Shuffle = Annotated[
    bool | None,
    typer.Option("--shuffle/--no-shuffle", help="Shuffle the rows.", rich_help_panel=_DATA),
]
ShuffleSeed = Annotated[
    int | None, typer.Option(min=0, help="Seed of the shuffle; 0.", rich_help_panel=_DATA)
]
ModelUrl = Annotated[
    list[str] | None,
    typer.Option("--model-url", "-m", help="Server. Repeatable.", rich_help_panel=_MODEL),
]
Port = Annotated[
    list[int] | None,
    typer.Option(
        "--port", "-p", help="Server on this machine. Repeatable.", rich_help_panel=_MODEL
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Model of the server; the first that it lists.", rich_help_panel=_MODEL
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(help="Whose dialect it speaks; 'vllm'.", rich_help_panel=_MODEL),
]
WhichEndpoint = Annotated[
    Endpoint | None,
    typer.Option("--endpoint", help="Endpoint of the server.", rich_help_panel=_MODEL),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, help="Calls in flight; found by itself if not given.", rich_help_panel=_MODEL
    ),
]
Samples = Annotated[
    int | None,
    typer.Option("--num-samples", "-n", help="Answers for a row.", rich_help_panel=_GENERATION),
]
OneRequest = Annotated[
    bool | None,
    typer.Option(
        "--one-request/--no-one-request",
        help="All samples of a row in one call.",
        rich_help_panel=_GENERATION,
    ),
]
Temperature = Annotated[
    list[float] | None,
    typer.Option(
        "--temperature",
        "-t",
        help="Temperature: one, or one for each sample.",
        rich_help_panel=_GENERATION,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(help="Share of the likeliest tokens to choose from.", rich_help_panel=_GENERATION),
]
TopK = Annotated[
    int | None,
    typer.Option(
        help="Number of the likeliest tokens to choose from.", rich_help_panel=_GENERATION
    ),
]
MaxTokens = Annotated[
    int | None, typer.Option(help="Most tokens of an answer; 512.", rich_help_panel=_GENERATION)
]
StopSequences = Annotated[
    list[str] | None,
    typer.Option(help="One or several: --stop-sequences A B.", rich_help_panel=_GENERATION),
]
MoreStops = Annotated[list[str] | None, typer.Argument(hidden=True)]
Seed = Annotated[
    int | None, typer.Option(help="Seed of the first sample.", rich_help_panel=_GENERATION)
]
Penalty = Annotated[
    float | None,
    typer.Option(help="From -2 to 2; above 0 it avoids repetition.", rich_help_panel=_GENERATION),
]
Thinking = Annotated[
    bool | None,
    typer.Option(
        "--enable-thinking/--no-enable-thinking",
        help="Whether the model thinks; its own default if not given.",
        rich_help_panel=_GENERATION,
    ),
]
SystemPrompt = Annotated[
    str | None, typer.Option(help="System prompt of every call.", rich_help_panel=_GENERATION)
]
ResponseSchema = Annotated[
    Path | None,
    typer.Option(help="JSON Schema that answers must fit.", rich_help_panel=_GENERATION),
]
ExtraBody = Annotated[
    str | None,
    typer.Option(help="JSON object of other parameters.", rich_help_panel=_GENERATION),
]
SplitId = Annotated[
    int | None,
    typer.Option(help="Do this split of --num-splits; the first is 1.", rich_help_panel=_WORK),
]
NumSplits = Annotated[
    int | None, typer.Option(help="How many splits there are.", rich_help_panel=_WORK)
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that share the work; 1.", rich_help_panel=_WORK)
]
WhichEngine = Annotated[
    Engine | None,
    typer.Option(
        "--engine", help="Where workers run: local, or on a Ray cluster.", rich_help_panel=_WORK
    ),
]
RowsPerPart = Annotated[
    int | None, typer.Option(help="Rows in a part; 10,000.", rich_help_panel=_WORK)
]
LimitUsd = Annotated[float | None, typer.Option(help="Never spend more.", rich_help_panel=_WORK)]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds for an answer; 300.", rich_help_panel=_WORK)
]
MaxRetries = Annotated[
    int | None, typer.Option(help="Retries of a failed call; 3.", rich_help_panel=_WORK)
]
RetryDelay = Annotated[
    float | None, typer.Option(help="Seconds before the first retry; 1.", rich_help_panel=_WORK)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Any other key of the config; VALUE is YAML. Repeatable.",
        rich_help_panel=_WORK,
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Start afresh; what is there already is kept as NAME.1.",
        rich_help_panel=_WORK,
    ),
]
SaveConfig = Annotated[
    Path | None,
    typer.Option(help="Write down the config that results, without keys."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be sent; send and write nothing.")
]
Bar = Annotated[
    bool,
    typer.Option(
        "--progress-bar/--no-progress-bar", help="Show the progress.", rich_help_panel=_SAYING
    ),
]
LogLevel = Annotated[
    Level | None,
    typer.Option(
        "--log-level", case_sensitive=False, help="INFO if not given.", rich_help_panel=_SAYING
    ),
]
LogFile = Annotated[
    Path | None,
    typer.Option("--log-file", help="Write the log here, too.", rich_help_panel=_SAYING),
]
