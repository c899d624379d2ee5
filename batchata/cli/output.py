"""What the commands say: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

OK: Final = 0
ERROR: Final = 1
SOME_FAILED: Final = 3
INTERRUPTED: Final = 130


def stdout() -> Console:
    """A console on stdout; piped tables are not cut to 80 columns."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def stderr() -> Console:
    """A console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """Tell a person something that is no result."""
    typer.echo(text, err=True)


def complain(message: str, hint: str | None = None) -> None:
    """Tell a person what went wrong and what to write instead."""
    typer.secho("error: ", err=True, fg="red", bold=True, nl=False)
    typer.echo(message, err=True)
    if hint:
        typer.secho("  hint: ", err=True, fg="cyan", nl=False)
        typer.echo(hint, err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: object) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)
