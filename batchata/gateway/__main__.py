"""`python -m batchata.gateway`: the sandbox as a process of its own."""

import argparse
import asyncio
import logging
import sys
from dataclasses import replace

from batchata.gateway.loops import new_event_loop
from batchata.gateway.sandbox.faults import with_faults
from batchata.gateway.sandbox.scenario import Scenario
from batchata.gateway.sandbox.server import serve


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; the first line of output is the URL."""
    options = _parser().parse_args(argv)
    if not options.quiet:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    scenario = Scenario.from_file(options.scenario) if options.scenario else Scenario()
    if options.latency is not None:
        scenario = replace(scenario, latency_seconds=options.latency)
    scenario = with_faults(scenario, options.faults)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(options.host, options.port, scenario, on_ready=_tell))


def _tell(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m batchata.gateway",
        description="A local server that speaks the vendors' protocols; no model is behind it.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 is any free port")
    parser.add_argument("--scenario", help="JSON file of a scenario")
    parser.add_argument("--faults", default="", help="names of faults, with commas between")
    parser.add_argument("--latency", type=float, help="seconds a batch takes")
    parser.add_argument("--quiet", action="store_true", help="no log on stderr")
    return parser


if __name__ == "__main__":
    main()
