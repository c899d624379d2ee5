"""CPU per background response that is fetched, checked off and logged, beside bare aiohttp.

    python -m benchmarks.background_cpu --ids 10000

The sandbox is a process of its own, whose CPU is not counted. The least disturbed of some turns.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from batchata.gateway import Scenario
from benchmarks.batch_cpu import cpu_seconds, prompts

TURNS = 3


async def begin(url: str, count: int) -> list[str]:
    """So many responses at the vendor."""
    ids: list[str] = []
    numbers = iter(range(count))

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = {"model": "gpt-6-luna", "input": f"question {number}", "background": True}
            async with session.post(f"{url}/v1/responses", json=body) as response:
                ids.append(orjson.loads(await response.read())["id"])

    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sandbox"}) as session:
        await asyncio.gather(*(worker(session) for _ in range(50)))
    return ids


def fetch(url: str, ids: list[str], folder: Path, *, is_logged: bool) -> float:
    """Fetch all of them through the library; CPU ms each."""
    import pandas as pd
    from openai import AsyncOpenAI

    from batchata import EventLog
    from batchata.integrations.background import retrieve_background_responses

    folder.mkdir()
    client: Any = AsyncOpenAI(base_url=f"{url}/v1", api_key="sandbox")
    df = pd.DataFrame({"response_id": ids, "logger_custom_id": range(len(ids))})
    log = EventLog(folder / "logs") if is_logged else None
    before = cpu_seconds()
    found = asyncio.run(
        retrieve_background_responses(df, client, log, checkpoint_file=folder / "responses.db")
    )
    spent = cpu_seconds() - before
    assert set(found["status"]) == {"completed"}
    if log is not None:
        log.close()
    return spent / len(ids) * 1e3


def play(url: str, **settings: Any) -> None:
    """Have the sandbox play another scenario."""
    data = Scenario(**settings).to_json()
    request = urllib.request.Request(f"{url}/_sandbox/scenario", data, method="PUT")
    with urllib.request.urlopen(request) as answer:
        answer.read()


def run_route(url: str, count: int, folder: Path) -> tuple[float, float]:
    """Begin so many in one run and fetch them in the next; CPU ms each of both."""
    from batchata import Batch, BatchRun

    def start() -> BatchRun:
        batch = Batch(folder, result_format="jsonl").set_route("background")
        batch.set_default_params(model="gpt-6-luna", max_tokens=50).add_cost_limit(1000)
        batch.set_provider("openai", api_key="sandbox", base_url=f"{url}/v1")
        return batch.add_jobs(prompts(count)).start()

    play(url, background_seconds=3600, poll_after_ms=3_000_000)
    before = cpu_seconds()
    first = start()
    while not first.wait(0.5) and first.status()["calls_in_flight"] < count:
        pass
    begun = cpu_seconds() - before
    first.shutdown()  # looks once more at all that may be there: no part of beginning them
    play(url, clock_skew_seconds=7200)
    before = cpu_seconds()
    second = start()
    second.wait()
    fetched = cpu_seconds() - before
    assert second.status()["completed"] == count, second.status()
    return begun / count * 1e3, fetched / count * 1e3


async def bare(url: str, ids: list[str]) -> float:
    """The floor: the same requests with nothing kept; CPU ms each."""
    left = iter(ids)

    async def worker(session: aiohttp.ClientSession) -> None:
        for response_id in left:
            async with session.get(f"{url}/v1/responses/{response_id}") as response:
                orjson.loads(await response.read())

    before = cpu_seconds()
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sandbox"}) as session:
        await asyncio.gather(*(worker(session) for _ in range(50)))
    return (cpu_seconds() - before) / len(ids) * 1e3


async def with_sdk(url: str, ids: list[str]) -> float:
    """The peer: the official SDK, with nothing kept; CPU ms each."""
    from openai import AsyncOpenAI

    left = iter(ids)
    before = cpu_seconds()
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="sandbox") as client:

        async def worker() -> None:
            for response_id in left:
                await client.responses.retrieve(response_id)

        await asyncio.gather(*(worker() for _ in range(50)))
    return (cpu_seconds() - before) / len(ids) * 1e3


def main() -> None:
    """Print the figures, the floor and the peer of the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ids", type=int, default=10_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    command = [sys.executable, "-m", "batchata.gateway", "--quiet"]
    sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert sandbox.stdout is not None
        url = sandbox.stdout.readline().strip()
        ids = asyncio.run(begin(url, options.ids))
        fetch(url, ids[:50], folder / "warm", is_logged=True)
        began = time.perf_counter()
        plain = min(fetch(url, ids, folder / f"plain{n}", is_logged=False) for n in range(TURNS))
        wall = (time.perf_counter() - began) / TURNS
        logged = min(fetch(url, ids, folder / f"logged{n}", is_logged=True) for n in range(TURNS))
        floor = min(asyncio.run(bare(url, ids)) for _ in range(TURNS))
        sdk = asyncio.run(with_sdk(url, ids[: len(ids) // 5]))
        print(
            f"retrieve_background_responses, {len(ids):,} ids: cpu_ms_per_id {plain:.3f}, "
            f"with event log {logged:.3f}, {len(ids) / wall:,.0f} a second"
        )
        began_ms, fetched_ms = run_route(url, options.ids, folder / "route")
        print(
            f'set_route("background"), {options.ids:,} jobs: begun with state and budget '
            f"{began_ms:.3f} cpu ms a job, fetched and settled {fetched_ms:.3f}"
        )
        print(f"bare aiohttp: cpu_ms_per_id {floor:.3f}; the SDK alone: {sdk:.3f}")
    finally:
        sandbox.kill()
        sandbox.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
