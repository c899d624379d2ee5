"""Rows a second of a generation, Parquet in and out, beside bare aiohttp.

    python -m benchmarks.generate_cpu --rows 50000
    python -m benchmarks.generate_cpu --rows 50000 --workers 2
    python -m benchmarks.generate_cpu --rows 30000 --latency 0.3 --concurrency 256

The server answers at once, or after `--latency`, in a process of its own, whose CPU is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from batchata.generate import GenerationPipeline, make_config
from benchmarks.batch_cpu import cpu_seconds
from benchmarks.instant import instant, peak_mb
from benchmarks.live_cpu import bare


def write_rows(path: Path, count: int) -> None:
    """Short questions, a row group for each 50,000."""
    schema = pyarrow.schema([("id", pyarrow.int64()), ("question", pyarrow.string())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 50_000):
            numbers = range(start, min(start + 50_000, count))
            texts = [f"Question {number}: what is its square?" for number in numbers]
            writer.write_table(pyarrow.table([list(numbers), texts], schema=schema))


def generate(url: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One generation."""
    rows = folder / "rows.parquet"
    write_rows(rows, options.rows)
    config = make_config(
        {
            "data": {"input_path": str(rows), "output_path": str(folder / "out.parquet")},
            "model": {"url": url, "concurrency": options.concurrency},
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
    assert pyarrow.parquet.read_metadata(folder / "out.parquet").num_rows == options.rows
    again = time.perf_counter()
    assert not GenerationPipeline(config).run().is_new
    return {
        "rows_per_s": options.rows / wall,
        "cpu_ms_per_row": cpu / options.rows * 1e3,
        "rows_per_cpu_s": options.rows / cpu,
        "peak_mb": peak_mb(),
        "done_again_s": time.perf_counter() - again,
    }


def main() -> None:
    """Print the figures, and the floor of the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the server waits")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with instant(options.latency) as url:
            figures = generate(url, folder, options)
            shown = ", ".join(f"{name} {value:,.3f}" for name, value in figures.items())
            workers = f", {options.workers} workers" if options.workers > 1 else ""
            print(
                f"generate, {options.rows:,} rows, {options.concurrency} at once{workers}: {shown}"
            )
            if options.latency:
                ceiling = options.concurrency / options.latency
                share = figures["rows_per_s"] / ceiling
                print(f"ceiling of the server: {ceiling:,.0f} rows/s; reached {share:.1%}")
            began, count = time.perf_counter(), min(options.rows, 20_000)
            floor = asyncio.run(bare(url, count, options.concurrency))
            rate = count / (time.perf_counter() - began)
            print(f"bare aiohttp: cpu_ms_per_call {floor:.3f}, calls_per_s {rate:,.0f}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
