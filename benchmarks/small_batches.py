"""Bytes that a run of many small batches writes, beside the size of what it leaves on disk.

    python -m benchmarks.small_batches --jobs 10000 --items 10

Short questions, so that what is written is bookkeeping. State file, raw files and JSONL results
are on; the server is the sandbox in a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks.batch_cpu import MODELS, cpu_seconds, sandbox, written_bytes


def run_batchata(url: str, vendor: str, jobs: int, items: int, folder: Path) -> dict[str, float]:
    """One run, ten batches at a time."""
    from batchata import Batch

    base_url = f"{url}/v1" if vendor == "openai" else url
    batch = Batch(folder, items_per_batch=items, max_parallel_batches=10, result_format="jsonl")
    batch.set_default_params(model=MODELS[vendor], max_tokens=100)
    batch.set_provider(vendor, api_key="sandbox", base_url=base_url).set_polling(0.01)
    batch.add_jobs(f"Question {number}" for number in range(jobs))
    before, wrote = cpu_seconds(), written_bytes()
    run = batch.run()
    assert run.status()["completed"] == jobs, run.status()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {
        "written_mb": (written_bytes() - wrote) / 1e6,
        "left_on_disk_mb": sum(sizes) / 1e6,
        "state_mb": (folder / "state.db").stat().st_size / 1e6,
        "cpu_us_per_job": (cpu_seconds() - before) / jobs * 1e6,
    }


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=10, help="jobs of a batch")
    parser.add_argument("--vendor", choices=sorted(MODELS), default="openai")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        with sandbox() as url:
            figures = run_batchata(url, options.vendor, options.jobs, options.items, folder / "out")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{options.vendor}, {options.jobs:,} jobs, {options.items} a batch: "
        + ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
