"""`batchata sandbox`: both vendors' APIs on this machine, with scripted answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchata.cli.output import print_json, stdout
from batchata.core.errors import ValidationError

if TYPE_CHECKING:
    from batchata.gateway import Scenario

KEY = "sandbox"


def sandbox(
    port: Annotated[int, typer.Option(help="0 is any free port.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    faults: Annotated[
        str, typer.Option(help="Names of faults, separated by commas; see --list-faults.")
    ] = "",
    scenario: Annotated[
        Path | None,
        typer.Option(help="JSON file of a scenario.", exists=True, dir_okay=False),
    ] = None,
    latency: Annotated[float | None, typer.Option(min=0, help="Seconds a batch takes.")] = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="List the faults and leave.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print addresses, or faults, as JSON.")
    ] = False,
) -> None:
    """Serve both vendors' APIs on this machine, with no model behind.

    Speaks the protocols of OpenAI and Anthropic. Answers are scripted, keys are not checked,
    nothing costs anything; Ctrl-C ends it.

    Example: [bold]batchata sandbox --latency 5 --faults item-errors,http-503[/bold]
    """
    if list_faults:
        _list_faults(as_json=as_json)
        return
    found = make_scenario(scenario, faults, latency)
    import asyncio

    from batchata.gateway import serve
    from batchata.gateway.loops import new_event_loop

    def tell(url: str) -> None:
        if as_json:
            print_json({"openai_base_url": f"{url}/v1", "anthropic_base_url": url, "key": KEY})
        else:
            stdout().print(_welcome(url), markup=False, soft_wrap=True)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(serve(host, port, found, on_ready=tell))
        except OSError as error:
            raise ValidationError(
                f"the sandbox cannot listen on {host}:{port}: {error.strerror or error}",
                hint="choose another --port, as --port 0 for any free one",
            ) from error


def make_scenario(file: Path | None, faults: str, latency: float | None) -> Scenario:
    """The scenario that the options describe; ValidationError when one cannot be read."""
    from dataclasses import replace

    import msgspec

    from batchata.gateway import Scenario, with_faults

    try:
        found = Scenario() if file is None else Scenario.from_file(file)
        if latency is not None:
            found = replace(found, latency_seconds=latency)
        return with_faults(found, faults)
    except msgspec.DecodeError as error:
        raise ValidationError(f"{file} is not a scenario: {error}") from error
    except ValueError as error:
        raise ValidationError(str(error), hint="batchata sandbox --list-faults") from error


def _welcome(url: str) -> str:
    return f"""\
Sandbox: scripted answers, no model is behind it. Ctrl-C ends it.

  OpenAI     {url}/v1
  Anthropic  {url}
  bill       {url}/_sandbox/ledger

Use it from another shell:

  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={KEY}
  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY={KEY}
"""


def _list_faults(*, as_json: bool) -> None:
    from batchata.gateway import FAULTS
    from batchata.sinks.tables import plain_table

    found = {fault.name: fault.description for fault in FAULTS.values()}
    if as_json:
        print_json(found)
    else:
        stdout().print(plain_table(found))
