"""CPU and memory of live calls with state file, budget, raw files and results on.

Beside them the CPU of bare aiohttp and of OpenAI's SDK, which keep nothing.

    python -m benchmarks.live_cpu --jobs 10000 --concurrency 200
    python -m benchmarks.live_cpu --latency 0.2
    python -m benchmarks.live_cpu --sizes 10000 100000 1000000

The first two run 10,000 calls; the second shows how much of the ideal rate is reached with a server
that takes its time: 95.1 and 95.3 % on a quiet machine with two cores, 97.3 % of 30,000 calls, as
the first calls leave 40 ms after the start and jobs are taken in while they wait; on a busy one 94
to 95 %, where bare aiohttp reached 95 to 96. The third shows whether a call costs the same in a
long run, each size in a process of its own: 0.18, 0.19 and 0.20 ms of CPU.
The server answers at once, in a process of its own, whose CPU is not counted. Jobs are made one
by one and results stay on disk; memory is the peak above that of a process which has run one job.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson

from benchmarks.batch_cpu import cpu_seconds, prompts
from benchmarks.instant import instant, peak_mb, resident_mb

#: the SDK is slow, and slower with more calls in flight
_SDK_CALLS, _SDK_AT_ONCE = 2000, 50


def run_batchata(url: str, count: int, concurrency: int, folder: Path) -> dict[str, float]:
    """One live run through the library."""
    from batchata import Batch

    def build(texts: Iterator[str]) -> Batch:
        batch = Batch(folder, result_format="jsonl").set_route("live", concurrency=concurrency)
        batch.set_default_params(model="gpt-6-luna", max_tokens=50).add_cost_limit(1000)
        batch.set_provider("openai", api_key="sandbox", base_url=f"{url}/v1")
        return batch.add_jobs(texts)

    build(iter(["warm"])).run()
    base = resident_mb()
    before, began = cpu_seconds(), time.perf_counter()
    run = build(prompts(count)).run()
    cpu, wall = cpu_seconds() - before, time.perf_counter() - began
    peak = peak_mb()
    assert run.status()["completed"] == count, run.status()
    again = time.perf_counter()
    build(prompts(count)).run()
    return {
        "cpu_ms_per_call": cpu / count * 1e3,
        "calls_per_s": count / wall,
        "mb_above_import": peak - base,
        "rerun_s": time.perf_counter() - again,
    }


async def bare(url: str, count: int, concurrency: int) -> float:
    """The floor: the same calls with nothing kept; CPU ms a call."""
    texts = prompts(count)
    headers = {"Authorization": "Bearer sandbox", "Content-Type": "application/json"}

    async def worker(session: aiohttp.ClientSession) -> None:
        for text in texts:
            message = {"role": "user", "content": text}
            body = {"model": "gpt-6-luna", "messages": [message], "max_completion_tokens": 50}
            target = f"{url}/v1/chat/completions"
            async with session.post(target, data=orjson.dumps(body), headers=headers) as response:
                orjson.loads(await response.read())

    before = cpu_seconds()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
    return (cpu_seconds() - before) / count * 1e3


async def sdk(url: str, count: int, concurrency: int) -> float:
    """The peer: the same calls through the vendor's SDK with nothing kept; CPU ms a call."""
    import openai

    texts = prompts(count)
    async with openai.AsyncOpenAI(api_key="sandbox", base_url=f"{url}/v1") as client:

        async def worker() -> None:
            for text in texts:
                await client.chat.completions.create(
                    model="gpt-6-luna",
                    messages=[{"role": "user", "content": text}],
                    max_completion_tokens=50,
                )

        await client.chat.completions.create(
            model="gpt-6-luna", messages=[{"role": "user", "content": "warm"}]
        )
        before = cpu_seconds()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return (cpu_seconds() - before) / count * 1e3


def show_sizes(sizes: list[int], concurrency: int) -> None:
    """Print the figures of runs of several sizes."""
    for count in sizes:
        command = [sys.executable, "-m", "benchmarks.live_cpu", "--jobs", str(count), "--alone"]
        subprocess.run([*command, "--concurrency", str(concurrency)], check=True)


def main() -> None:
    """Print the figures and the floor of the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the server waits")
    parser.add_argument("--alone", action="store_true", help="without the floor and the peer")
    parser.add_argument("--sizes", type=int, nargs="+", help="runs of so many jobs, one by one")
    options = parser.parse_args()
    if options.sizes:
        show_sizes(options.sizes, options.concurrency)
        return
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with instant(options.latency) as url:
            figures = run_batchata(url, options.jobs, options.concurrency, folder / "out")
            shown = ", ".join(f"{name} {value:,.3f}" for name, value in figures.items())
            print(f"batchata live, {options.jobs:,} calls, {options.concurrency} at once: {shown}")
            if options.alone:
                return
            began = time.perf_counter()
            floor = asyncio.run(bare(url, options.jobs, options.concurrency))
            rate = options.jobs / (time.perf_counter() - began)
            print(f"bare aiohttp: cpu_ms_per_call {floor:.3f}, calls_per_s {rate:,.0f}")
            if options.latency:
                ideal = options.concurrency / options.latency
                ours = figures["calls_per_s"] / ideal
                print(f"of the ideal {ideal:,.0f} calls/s: {ours:.1%}, bare {rate / ideal:.1%}")
                return
            peer = asyncio.run(sdk(url, min(options.jobs, _SDK_CALLS), _SDK_AT_ONCE))
            print(f"OpenAI's SDK, {_SDK_AT_ONCE} at once: cpu_ms_per_call {peer:.3f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
