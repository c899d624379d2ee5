"""CPU per row of `add_rows` and of `extract_df` with all files on disk, and a rerun from the cache.

    python -m benchmarks.table_cpu --rows 10000

The server answers at once, in a process of its own, whose CPU is not counted. `memory_mb` is the
peak above what the process held after a first row, with the table and its answers; only the first
line's says something, as the second finds memory that the first let go of. `--latency 0.2` shows
how much of the ideal rate is reached with a server that takes its time: 93.8 % of 10,000 rows and
95.9 % of 30,000 on a quiet machine, where bare aiohttp reached 97.3 and 98.0. The difference is
0.1 s until the first call leaves, 0.1 s after the last answer, and 5 ms in each turn of 200 calls.

What was tried, CPU a row on a busy two-core machine, one row a request:

- Python's garbage collector, at its own rate, took a third: 0.225 ms with it, 0.155 without. A run
  now looks for garbage after 10,000 new objects, not 700. `gc.freeze()` brought as much, and would
  have kept a long-lived process from freeing what it drops while a run goes on.
- Rows were checked against their schema a second time, slowly, and answers were read as JSON twice:
  0.29 s of 10,000 rows then, 0.20 s now.
- Answers go into the cache while others are awaited: the call used to end half a second after the
  last answer of 10,000, and ends 0.2 s after it. Garbage is looked for less while rows are taken in
  and answers read, too, and no cookies are looked up: 5-8 % of the CPU.
- Texts are read from the table as requests are made, and answers are held as text until the table
  is made: 100,000 rows took 170 MB beside the table before, 97 MB now.
- A call that ends makes the next one in its own task, and answers are handed over in memory and
  not read back from the state file: 0.25 ms then, 0.21 now, on the same busy machine.
- What is left is aiohttp (0.10 ms), the state file (0.02), taking rows in (0.025) and the answers
  into the cache (0.02).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from batchata import Batch
from batchata.frames import extract_df
from benchmarks.batch_cpu import cpu_seconds
from benchmarks.instant import instant, peak_mb, resident_mb
from benchmarks.live_cpu import bare

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
    """Rows with texts of 400 characters, made without a Python object for each."""
    ids = pa.array(range(count))
    texts = pc.binary_join_element_wise(pc.cast(ids, pa.string()), _WORDS, ": ")
    return pa.table({"id": ids, "text": texts}).to_pandas()


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
    cache = folder / f"{rows_per_request}.sqlite"
    extract(url, table(1), folder / "warm.sqlite", 1, 1)
    before = resident_mb()
    df = table(count)
    held = resident_mb() - before
    cpu, began = cpu_seconds(), time.perf_counter()
    extract(url, df, cache, rows_per_request, workers)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - began
    memory = peak_mb() - before
    began = time.perf_counter()
    extract(url, df, cache, rows_per_request, workers)
    rerun = time.perf_counter() - began
    return (
        f"{rows_per_request} rows a request: cpu_ms_per_row {cpu / count * 1e3:.3f} "
        f"(one core: {count / cpu:,.0f} rows/s), rows_per_s {count / wall:,.0f}, "
        f"memory_mb {memory:.0f} (the table itself {held:.0f}), rerun_s {rerun:.3f}"
    )


def stream(url: str, count: int, workers: int, folder: Path) -> str:
    """The figures of `add_rows` from a file to its results, neither of which is held."""

    def run(rows: int) -> int:
        path = folder / f"{rows}.jsonl"
        with path.open("wb") as file:
            for number in range(rows):
                file.write(orjson.dumps({"id": number, "text": f"{number}: {_WORDS}"}) + b"\n")
        batch = Batch().set_state(folder / f"{rows}.db").set_route("live", concurrency=workers)
        batch.set_provider("openai", api_key="sandbox", base_url=f"{url}/v1")
        batch.set_default_params(model="gpt-6-luna", max_tokens=50).add_cost_limit(1000)
        done = batch.add_rows(path, prompt="Name the mood: {text}", id="id").run()
        return sum(each.is_success for each in done.results().iter_all())

    run(1)
    before, cpu = resident_mb(), cpu_seconds()
    assert run(count) == count
    cpu, memory = cpu_seconds() - cpu, peak_mb() - before
    return f"cpu_ms_per_row {cpu / count * 1e3:.3f}, memory_mb {memory:.0f}"


def command(url: str, count: int, folder: Path) -> str:
    """Peak memory of `batchata extract` over rows of 4 KB, beside that over a tenth of them."""
    peaks = []
    for rows in (count // 10, count):
        source, target = folder / f"{rows}.csv", folder / f"{rows}.parquet"
        with source.open("w") as file:
            file.write("id,text\n")
            file.writelines(f'{number},"{_WORDS * 10}"\n' for number in range(rows))
        given = [str(source), str(target), "-m", "gpt-6-luna", "-p", "Name the mood, in JSON."]
        given += ["--base-url", f"{url}/v1", "--chunk-size", "1", "--max-workers", "200", "--json"]
        said = [sys.executable, "-c", "from batchata.cli import main; main()", "extract", *given]
        child = subprocess.Popen(
            said, env={**os.environ, "OPENAI_API_KEY": "x"}, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, said
        peaks.append(used.ru_maxrss / 1024)
    return f"memory_mb {peaks[1]:.0f} in all (a tenth of the rows: {peaks[0]:.0f})"


def show_rate(count: int, workers: int, latency: float) -> None:
    """Print the rows a second beside what so many workers could do with no time of their own."""
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with instant(latency) as url:
            extract(url, table(1), folder / "warm.sqlite", 1, 1)
            df, began = table(count), time.perf_counter()
            extract(url, df, folder / "cache.sqlite", 1, workers)
            rate = count / (time.perf_counter() - began)
            began = time.perf_counter()
            asyncio.run(bare(url, count, workers))
            floor = count / (time.perf_counter() - began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ideal = workers / latency
    print(
        f"extract_df, {count:,} rows, one a request, {workers} at once, {latency:g} s latency: "
        f"rows_per_s {rate:,.0f}, {rate / ideal:.1%} of the ideal {ideal:,.0f} "
        f"(bare aiohttp, nothing kept or checked: {floor:,.0f}, {floor / ideal:.1%})"
    )


def main() -> None:
    """Print the figures with one row and with five rows a request, and the floor beside them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the server waits")
    options = parser.parse_args()
    if options.latency:
        show_rate(options.rows, options.workers, options.latency)
        return
    with tempfile.TemporaryDirectory(prefix="batchata-bench-") as place, instant() as url:
        figures = stream(url, options.rows, options.workers, Path(place))
        print(f"add_rows from a file, {options.rows:,} rows: {figures}")
        memory = command(url, options.rows, Path(place))
        print(f"batchata extract, {options.rows:,} rows of 4 KB: {memory}")
    for rows_per_request in (1, 5):
        folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
        try:
            with instant() as url:
                figures = measure(url, options.rows, rows_per_request, options.workers, folder)
                print(f"extract_df, {options.rows:,} rows, {figures}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    with instant() as url:
        floor = asyncio.run(bare(url, options.rows, options.workers))
    print(f"bare aiohttp, one row a request, nothing kept or checked: cpu_ms_per_row {floor:.3f}")


if __name__ == "__main__":
    main()
