"""What a gateway lets through its limit, asked by many at once for twice as much.

python -m benchmarks.gateway_budget --calls 20000
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import aiohttp
import orjson

from batchata.core.usage import Usage
from batchata.prices import GenaiPriceBook
from benchmarks.gateway_cpu import gateway
from benchmarks.gateway_memory import at_once, question
from benchmarks.instant import instant

_HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer k"}
_AT_ONCE = 128


async def bill(url: str, calls: int) -> tuple[Counter[int], Decimal]:
    """Answers by their status, and what a vendor would ask for them."""
    card = GenaiPriceBook().card("openai", "gpt-6-luna", "standard")
    statuses: Counter[int] = Counter()
    total = Decimal(0)

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal total
        target, body = f"{url}/v1/chat/completions", question(f"question {number}")
        async with session.post(target, data=body, headers=_HEADERS) as response:
            said = orjson.loads(await response.read())
            statuses[response.status] += 1
            if response.status == 200:
                used = said["usage"]
                total += card.cost_usd(Usage(used["prompt_tokens"], used["completion_tokens"]))

    await at_once(range(calls), ask, _AT_ONCE)
    return statuses, total


def main() -> None:
    """Print by how much the limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=8_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with instant() as upstream:
            with gateway(upstream, folder, "event_recorder") as (url, _):
                _, each = asyncio.run(bill(url, 1))
            limit = each * options.calls / 2
            with gateway(upstream, folder, limit_usd=float(limit)) as (url, _):
                statuses, total = asyncio.run(bill(url, options.calls))
        print(
            f"a limit of ${limit:f}, {options.calls:,} calls, {_AT_ONCE} at once: "
            f"{statuses[200]:,} answered, {statuses[429]:,} refused, "
            f"${max(Decimal(0), total - limit):f} over the limit, ${max(limit - total, 0):f} left"
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
