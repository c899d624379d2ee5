"""Rows a second of a generation, Parquet in and out, beside bare aiohttp.

    python -m benchmarks.generate_cpu --rows 50000
    python -m benchmarks.generate_cpu --rows 50000 --workers 2
    python -m benchmarks.generate_cpu --rows 30000 --latency 0.3 --concurrency 256

The server answers at once, or after `--latency`, in a process of its own, whose CPU is not counted.
It is nginx where that is installed, so that it leaves the cores to what is measured. With several
workers the same rows are asked by one first, and what the others gain is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow
import pyarrow.parquet

from batchata.generate import GenerationPipeline, make_config
from benchmarks import nginx
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


def generate(url: str, folder: Path, options: argparse.Namespace, workers: int) -> dict[str, float]:
    """One generation."""
    rows, output = folder / "rows.parquet", folder / f"out-{workers}.parquet"
    config = make_config(
        {
            "data": {"input_path": str(rows), "output_path": str(output)},
            "model": {"url": url, "concurrency": options.concurrency},
            "generation": {"max_tokens": 50},
            "processing": {"workers": workers},
        }
    )
    began, before, helped = time.perf_counter(), cpu_seconds(), _children_seconds()
    summary = GenerationPipeline(config).run()
    wall = time.perf_counter() - began
    cpu, theirs = cpu_seconds() - before, _children_seconds() - helped
    assert summary.total_items == options.rows, summary
    assert not summary.failed, summary
    assert pyarrow.parquet.read_metadata(output).num_rows == options.rows
    again = time.perf_counter()
    assert not GenerationPipeline(config).run().is_new
    return {
        "rows_per_s": options.rows / wall,
        "cpu_ms_per_row": (cpu + theirs) / options.rows * 1e3,
        "of_the_parent": cpu / options.rows * 1e3,
        "rows_per_cpu_s": options.rows / (cpu + theirs),
        "peak_mb": peak_mb(),
        "done_again_s": time.perf_counter() - again,
    }


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tell(options: argparse.Namespace, workers: int, figures: dict[str, float]) -> None:
    """Print the figures of one generation."""
    shown = ", ".join(f"{name} {value:,.3f}" for name, value in figures.items())
    told = f"{workers} worker{'s' * (workers > 1)}"
    print(f"generate, {options.rows:,} rows, {options.concurrency} at once, {told}: {shown}")


def server(latency: float, folder: Path) -> contextlib.AbstractContextManager[str]:
    """A server in a process of its own; its address."""
    return instant(latency) if latency else nginx.cheapest(folder)


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
        write_rows(folder / "rows.parquet", options.rows)
        with server(options.latency, folder) as url:
            alone = figures = generate(url, folder, options, 1)
            tell(options, 1, figures)
            if options.workers > 1:
                figures = generate(url, folder, options, options.workers)
                tell(options, options.workers, figures)
                print(f"rows/s beside one: {figures['rows_per_s'] / alone['rows_per_s']:.2f} times")
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
