"""CPU per row of `extract_df`, with run file and cache file on disk, and its rerun from the cache.

    python -m benchmarks.table_cpu --rows 10000

The server is the sandbox in a process of its own, whose CPU is not counted.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from batchata.frames import extract_df
from benchmarks.batch_cpu import cpu_seconds, sandbox

_SCHEMA = {
    "type": "object",
    "properties": {
        "mood": {"type": "string"},
        "stars": {"type": "integer"},
        "is_new": {"type": "boolean"},
    },
    "required": ["mood", "stars", "is_new"],
}
_WORDS = "The team is friendly and the work is hard, but the pay is fair and people stay. " * 5


def table(count: int) -> pd.DataFrame:
    """Rows with texts of 400 characters."""
    return pd.DataFrame({"id": range(count), "text": [f"{n}: {_WORDS}" for n in range(count)]})


def extract(url: str, df: pd.DataFrame, cache: Path, rows_per_request: int, workers: int) -> Any:
    """One call; every row must have its answer."""
    out = extract_df(
        df,
        prompt="Name the mood, the stars and whether it is new.",
        schema=_SCHEMA,
        cache_path=cache,
        model="gpt-6-luna",
        chunk_size=rows_per_request,
        max_workers=workers,
        api_key="sandbox",
        base_url=f"{url}/v1",
        print_status=False,
    )
    assert set(out.status) == {"succeeded"}, out.error.dropna().iloc[0]
    return out


def measure(url: str, count: int, rows_per_request: int, workers: int, folder: Path) -> str:
    """The figures of one size of packs."""
    cache, df = folder / f"{rows_per_request}.sqlite", table(count)
    extract(url, df.head(1), folder / "warm.sqlite", 1, 1)
    cpu, began = cpu_seconds(), time.perf_counter()
    extract(url, df, cache, rows_per_request, workers)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - began
    began = time.perf_counter()
    extract(url, df, cache, rows_per_request, workers)
    rerun = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return (
        f"{rows_per_request} rows a request: rows_per_s {count / wall:,.0f}, "
        f"cpu_ms_per_row {cpu / count * 1e3:.3f}, rerun_s {rerun:.3f}, cache_mb {size:.1f}"
    )


def main() -> None:
    """Print the figures with one row and with five rows a request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    options = parser.parse_args()
    for rows_per_request in (1, 5):
        folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        try:
            with sandbox() as url:
                figures = measure(url, options.rows, rows_per_request, options.workers, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"extract_df, {options.rows:,} rows, {figures}, rss_mb {before:.0f} -> {after:.0f}")


if __name__ == "__main__":
    main()
