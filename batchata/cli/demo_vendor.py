"""The demo's sandbox: a process of its own, so that killing the demo does not kill the "vendor".

It ends by itself when nobody has spoken to it for a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchata.core.errors import RunError

if TYPE_CHECKING:
    from batchata.gateway import Ledger, Scenario

IDLE_SECONDS: Final = 180.0
_START_SECONDS: Final = 20.0
_CARD: Final = "sandbox.json"


@dataclass(frozen=True, slots=True)
class Vendor:
    """Where the demo's sandbox is, and what the run had spent before it came."""

    url: str
    pid: int
    spent_before_usd: Decimal
    process: subprocess.Popen[bytes] | None = None  #: None when an earlier demo started it

    def ledger(self) -> Ledger:
        """The bill as the sandbox sees it."""
        from batchata.gateway import Ledger

        with urllib.request.urlopen(f"{self.url}/_sandbox/ledger", timeout=10) as answer:
            return Ledger.from_json(answer.read())

    def stop(self) -> None:
        """End the sandbox's process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if self.process is not None:
            self.process.wait(_START_SECONDS)


def find_vendor(folder: Path) -> Vendor | None:
    """The sandbox that an earlier demo left running in this folder."""
    try:
        card = json.loads((folder / _CARD).read_bytes())
        vendor = Vendor(card["url"], card["pid"], Decimal(card["spent_before_usd"]))
        vendor.ledger()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return vendor


def start_vendor(folder: Path, latency_seconds: float, spent_usd: Decimal) -> Vendor:
    """Start a sandbox that outlives this process; RunError when it does not come up."""
    process = subprocess.Popen(
        [sys.executable, "-m", "batchata.cli.demo_vendor", str(latency_seconds)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = process.stdout.readline().decode().strip() if process.stdout else ""
    if process.stdout is not None:
        process.stdout.close()
    if not url:
        raise RunError(
            f"the demo's sandbox did not start (exit code {process.wait(_START_SECONDS)})",
            hint="see why: batchata sandbox --port 0",
        )
    vendor = Vendor(url, process.pid, spent_usd, process)
    card = {"url": url, "pid": process.pid, "spent_before_usd": str(spent_usd)}
    (folder / _CARD).write_text(json.dumps(card), encoding="utf-8")
    return vendor


def demo_scenario(latency_seconds: float) -> Scenario:
    """A vendor on an ordinary day: slow, now and then wrong, and once offended."""
    from batchata.gateway import HttpFault, ItemFault, Scenario

    return replace(
        Scenario(),
        latency_seconds=latency_seconds,
        http=(HttpFault(action="status", route="openai.batches.retrieve", skip=2, status=503),),
        items=(
            ItemFault(outcome="refusal", prompt="In five words: The battery gets so hot"),
            ItemFault(outcome="invalid_request", prompt="into French: Two pieces short"),
            ItemFault(outcome="invalid_request", prompt="reply to Lucia"),
            ItemFault(outcome="length", prompt="letter about? I need the customs"),
            ItemFault(outcome="server_error", share=0.06, attempts=1),
        ),
    )


async def serve_until_idle(scenario: Scenario, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM, or until no request has come for a while."""
    from batchata.gateway.sandbox.server import running

    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with running(scenario=scenario) as world:
        tell(world.url)
        seen, since = 0, time.monotonic()
        while not stopping.is_set() and time.monotonic() - since < IDLE_SECONDS:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), timeout=1)
            if len(world.requests) != seen:
                seen, since = len(world.requests), time.monotonic()


def _tell(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve_until_idle(demo_scenario(float(sys.argv[1])), _tell))
