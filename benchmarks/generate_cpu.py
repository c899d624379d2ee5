"""Rows a second of a generation, Parquet in and out, beside the live route and bare aiohttp.

    python -m benchmarks.generate_cpu --rows 50000
    python -m benchmarks.generate_cpu --rows 20000 --latency 0.3 --concurrency 256
    python -m benchmarks.generate_cpu --rows 50000 --workers 2

The server is the sandbox in a process of its own, whose CPU is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from benchmarks.batch_cpu import cpu_seconds, sandbox
from benchmarks.live_cpu import bare, run_batchata


def write_rows(path: Path, count: int) -> None:
    """Short questions, a row group for each 50,000."""
    schema = pyarrow.schema([("id", pyarrow.int64()), ("question", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 50_000):
            numbers = range(start, min(start + 50_000, count))
            texts = [f"Question {number}: what is its square?" for number in numbers]
            writer.write_table(pyarrow.table([list(numbers), texts], schema=schema))


def slow_down(url: str, seconds: float) -> None:
    """Have the sandbox wait before each answer."""
    fault = {"action": "slow", "route": "openai.chat*", "times": None, "seconds": seconds}
    body = json.dumps({"http": [fault]}).encode()
    request = urllib.request.Request(f"{url}/_sandbox/scenario", data=body, method="PUT")
    urllib.request.urlopen(request).close()


def generate(url: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One generation."""
    from batchata.generate import GenerationPipeline, make_config

    rows = folder / "rows.parquet"
    write_rows(rows, options.rows)
    config = make_config(
        {
            "data": {"input_path": str(rows), "output_path": str(folder / "out.parquet")},
            "model": {"url": url, "name": "gpt-4.1-mini", "concurrency": options.concurrency},
            "generation": {"max_tokens": 50},
            "processing": {"workers": options.workers},
        }
    )
    began, before = time.perf_counter(), cpu_seconds()
    summary = GenerationPipeline(config).run()
    wall, cpu = time.perf_counter() - began, cpu_seconds() - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    if options.workers > 1:
        cpu += children.ru_utime + children.ru_stime
    assert summary.total_items == options.rows, summary
    assert not summary.failed, summary
    again = time.perf_counter()
    assert not GenerationPipeline(config).run().is_new
    return {
        "rows_per_s": options.rows / wall,
        "cpu_ms_per_row": cpu / options.rows * 1e3,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "done_again_s": time.perf_counter() - again,
    }


def main() -> None:
    """Print the figures and the floors of the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the server waits")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with sandbox() as url:
            if options.latency:
                slow_down(url, options.latency)
            figures = generate(url, folder, options)
            shown = ", ".join(f"{name} {value:,.3f}" for name, value in figures.items())
            print(f"generate, {options.rows:,} rows, {options.concurrency} at once: {shown}")
            if options.latency:
                ceiling = options.concurrency / options.latency
                share = figures["rows_per_s"] / ceiling
                print(f"ceiling of the server: {ceiling:,.0f} rows/s; reached {share:.1%}")
                return
            count = min(options.rows, 20_000)
            live = run_batchata(url, count, options.concurrency, folder / "live")
            print(f"batchata live: cpu_ms_per_call {live['cpu_ms_per_call']:.3f}")
            floor = asyncio.run(bare(url, count, options.concurrency))
            print(f"bare aiohttp: cpu_ms_per_call {floor:.3f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
