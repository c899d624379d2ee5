"""What `batchata proxy` can be told, option by option."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_BATCHES = "Batch API"
_LIMITS = "Budget"
_TAPE = "Record and replay"
_UPSTREAM = "Upstream"


class VendorType(StrEnum):
    """Whose protocol an upstream speaks."""

    openai = "openai"
    anthropic = "anthropic"


class Scope(StrEnum):
    """What a limit holds for."""

    session = "session"
    agent = "agent"
    key = "key"
    model = "model"
    day = "day"


class Level(StrEnum):
    """How much the gateway says of itself."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


BaseURL = Annotated[
    str | None,
    typer.Option(
        help="Address of the upstream, such as https://api.openai.com.", rich_help_panel=_UPSTREAM
    ),
]
Type = Annotated[
    VendorType | None,
    typer.Option(
        help="Whose protocol it speaks; openai if not given, but for Anthropic's own address.",
        rich_help_panel=_UPSTREAM,
    ),
]
Config = Annotated[
    Path | None, typer.Option(help="YAML file; see generate-config.", dir_okay=False, exists=True)
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        help="Key for clients that bring none; better set BATCHATA_PROXY_API_KEY.",
        rich_help_panel=_UPSTREAM,
    ),
]
OutboundProxy = Annotated[
    str | None,
    typer.Option(
        help="HTTP proxy through which the upstream is reached.", rich_help_panel=_UPSTREAM
    ),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 if not given.")]
Port = Annotated[int | None, typer.Option(help="Port; 4000 if not given, 0 is any free one.")]
LogLevel = Annotated[
    Level | None,
    typer.Option(case_sensitive=False, help="Log level on stderr; info if not given."),
]
ClientToken = Annotated[str | None, typer.Option(help="What clients must send as their key.")]
LimitUsd = Annotated[
    float | None,
    typer.Option(min=0, help="Hard limit, in USD.", rich_help_panel=_LIMITS),
]
Per = Annotated[
    Scope | None,
    typer.Option(
        help="Give each of these a limit of its own; one for all if not given.",
        rich_help_panel=_LIMITS,
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        help="State file of the limit; ./gateway.db if not given.", rich_help_panel=_LIMITS
    ),
]
Flex = Annotated[
    bool,
    typer.Option(
        "--flex",
        help="Use OpenAI's half-price flex tier, and the standard one where that has no room.",
        rich_help_panel=_LIMITS,
    ),
]
Record = Annotated[
    Path | None,
    typer.Option(help="Folder to record exchanges into.", rich_help_panel=_TAPE),
]
Replay = Annotated[
    Path | None,
    typer.Option(help="Folder of recordings, or results of a run.", rich_help_panel=_TAPE),
]
Strict = Annotated[
    bool | None,
    typer.Option(
        "--strict/--fallthrough",
        help="Refuse what was not recorded, as if not given, or send it to the upstream.",
        rich_help_panel=_TAPE,
    ),
]
Timing = Annotated[
    bool, typer.Option("--timing", help="Keep the recorded pace.", rich_help_panel=_TAPE)
]
Batches = Annotated[
    Path | None,
    typer.Option(
        help="Folder of batches: serve the vendors' batch APIs too, for any upstream.",
        rich_help_panel=_BATCHES,
    ),
]
ToBatch = Annotated[
    str | None,
    typer.Option(
        metavar="WINDOW",
        help="Hold calls for the vendor's batches, at half the price, and ask live what is not "
        "back after so long: 30m, 6h, 1d.",
        rich_help_panel=_BATCHES,
    ),
]
Held = Annotated[
    Path | None,
    typer.Option(
        help="Folder of what --to-batch holds; ./held if not given.", rich_help_panel=_BATCHES
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print addresses as JSON.")]
