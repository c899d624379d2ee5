"""`--from-batch-file` and `--to-batch-file` of `run` and `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from batchata.cli.ending import report
from batchata.cli.options import route_of

if TYPE_CHECKING:
    from batchata.core.config import RunConfig

_PANEL: Final = "OpenAI batch files"
#: options of `run` that requests say themselves, or that have no meaning for them
_SAID_IN_THE_FILE: Final = (
    "file",
    "model",
    "prompt",
    "system",
    "max_tokens",
    "schema",
    "id_column",
    "endpoint",
    "param",
    "items_per_batch",
    "state",
    "results",
    "finish_within",
    "pilot",
    "dedupe",
    "cache",
    "dry_run",
)
From = Annotated[
    Path | None,
    typer.Option(
        "--from-batch-file",
        help="Requests in OpenAI's batch format, sent as they are.",
        exists=True,
        dir_okay=False,
        rich_help_panel=_PANEL,
    ),
]
To = Annotated[
    Path | None,
    typer.Option(
        "--to-batch-file", help="Their answers, in its output format.", rich_help_panel=_PANEL
    ),
]


def is_asked(source: Path | None, target: Path | None) -> bool:
    """True when requests of a file are to be asked; both names are given then."""
    if (source is None) != (target is None):
        raise typer.BadParameter("--from-batch-file and --to-batch-file are given together")
    return source is not None


def run_file(given: dict[str, Any]) -> None:
    """Ask OpenAI, or whoever is at `base_url`, about the requests of a file."""
    from batchata.generate.batch_file import ask_file
    from batchata.providers.control import ProviderSettings
    from batchata.providers.raw_requests import FileProvider
    from batchata.providers.registry import create_provider

    stray = [name for name in _SAID_IN_THE_FILE if given.get(name)]
    if stray:
        name = "FILE" if stray[0] == "file" else f"--{stray[0].replace('_', '-')}"
        raise typer.BadParameter(f"{name} has no effect: requests are sent as they are")
    settings = ProviderSettings(base_url=given["base_url"])
    run = ask_file(
        given["from_batch_file"],
        given["to_batch_file"],
        _run_config(given),
        FileProvider(create_provider("openai", settings)),
        print_status=not given["as_json"],
    )
    report(run, as_json=given["as_json"])


def _run_config(given: dict[str, Any]) -> RunConfig:
    from batchata.batch import Batch
    from batchata.cli.build import read_object

    batch = Batch(None, given["max_parallel"]).set_polling(given["poll_factor"])
    batch.set_route(
        route_of(given["route"], live=given["live"]),
        concurrency=given["concurrency"],
        rpm=given["rpm"],
        tpm=given["tpm"],
    )
    prices = {} if given["prices"] is None else read_object(given["prices"])
    batch.set_prices(prices, allow_unpriced=given["allow_unpriced"])
    if given["limit_usd"] is not None:
        batch.add_cost_limit(given["limit_usd"])
    return batch.config


def generate_file(
    config: Path | None,
    flags: dict[tuple[str, str], Any],
    source: Path | None,
    target: Path | None,
    *,
    as_json: bool,
) -> None:
    """Ask the servers of a config about the requests of a file."""
    from batchata.generate import load_config
    from batchata.generate.batch_file import OwnServers, ask_file, file_config
    from batchata.generate.servers import Servers

    given = {("data", "input_path"): source, ("data", "output_path"): target}
    made = load_config(config, {**flags, **given})
    provider = OwnServers(Servers(made.model, made.retry.timeout))
    run = ask_file(
        made.data.input_path,
        made.data.output_path,
        file_config(made),
        provider,
        print_status=not as_json,
    )
    report(run, as_json=as_json)
