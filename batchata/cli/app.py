"""The commands put together, and the exit code of what goes wrong in them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from batchata.cli import (
    cancel,
    demo,
    estimate,
    events,
    extract,
    generate,
    list_models,
    merge_splits,
    models,
    proxy,
    report,
    results,
    resume,
    retry,
    run,
    sandbox,
    status,
    validate,
)
from batchata.cli.help_text import HelpCommand, HelpGroup
from batchata.cli.hints import hint_of
from batchata.cli.output import ERROR, INTERRUPTED, complain, say
from batchata.core.errors import BatchataError

EPILOG = (
    "Exit codes: 0 all succeeded, 1 error, 2 wrong usage, 3 some jobs failed or are unfinished, "
    "130 interrupted."
)


class Commands(HelpGroup):
    """The group of all commands: errors of ours become a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with errors_reported():
            return super().invoke(ctx)


@contextlib.contextmanager
def errors_reported() -> Iterator[None]:
    """Tell errors of ours and of the disk without a traceback."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = error.message.removeprefix("Value error, ")  # pydantic's, by way of typer
        raise
    except BatchataError as error:
        complain(error.message, hint_of(error))
        raise typer.Exit(ERROR) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # the reader of a pipe has seen enough; Python must not complain about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(ERROR) from None
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        complain(f"{name}{error.strerror or error}")
        raise typer.Exit(ERROR) from None


app = typer.Typer(
    cls=Commands,
    name="batchata",
    help="Bulk LLM work: each job sent exactly once, by the cheapest route, inside a budget.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"batchata {version('batchata')}")
        raise typer.Exit


@app.callback()
def top(
    context: typer.Context,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", "-v", help="Show the version.", callback=_show_version, is_eager=True
        ),
    ] = False,
    no_color: Annotated[
        bool, typer.Option("--no-color", help="Print everything without colours.")
    ] = False,
    log_level: Annotated[str | None, typer.Option(hidden=True)] = None,
    log_file: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Bulk LLM work: each job sent exactly once, by the cheapest route, inside a budget."""
    if no_color:
        os.environ["NO_COLOR"] = "1"
    if os.environ.get("NO_COLOR"):
        context.color = False
    logged = {"level": log_level, "file": log_file}  # as the command's own parameters are named
    given = {name: value for name, value in logged.items() if value is not None}
    if given and context.invoked_subcommand not in _LOGS:
        raise typer.BadParameter(
            f"{context.invoked_subcommand} has no log: --log-level and --log-file are of "
            f"{' and '.join(_LOGS)}"
        )
    context.default_map = {context.invoked_subcommand or "": given}


#: commands whose --log-level and --log-file may stand before them, too
_LOGS = ("generate",)


for name, command in (
    ("demo", demo.demo),
    ("run", run.run),
    ("estimate", estimate.estimate),
    ("extract", extract.extract),
    ("generate", generate.generate),
    ("validate", validate.validate),
    ("list-models", list_models.list_models),
    ("merge-splits", merge_splits.merge_splits),
    ("status", status.status),
    ("results", results.results),
    ("events", events.events),
    ("report", report.report),
    ("resume", resume.resume),
    ("retry", retry.retry),
    ("cancel", cancel.cancel),
    ("sandbox", sandbox.sandbox),
    ("models", models.models),
):
    app.command(name, cls=HelpCommand)(command)
app.add_typer(proxy.proxy, name="proxy")
