"""All figures, one after the other: `python -m benchmarks`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNS = (
    ("import_time",),
    ("citations",),
    ("documents",),
    ("batch_cpu", "--jobs", "10000", "--vendor", "openai"),
    ("batch_cpu", "--jobs", "10000", "--vendor", "anthropic"),
    ("batch_cpu", "--jobs", "100000", "--vendor", "openai"),
    ("small_batches", "--jobs", "10000", "--items", "10"),
    ("live_cpu", "--jobs", "10000"),
    ("live_cpu", "--jobs", "100000"),
    ("background_cpu", "--ids", "10000"),
    ("gateway_cpu",),
    ("gateway_sessions",),
    ("gateway_memory",),
    ("gateway_budget",),
    ("table_cpu", "--rows", "10000"),
    ("table_cpu", "--rows", "10000", "--latency", "0.2"),
    ("generate_cpu", "--rows", "100000", "--workers", "2"),
    ("generate_cpu", "--rows", "20000", "--latency", "0.3", "--concurrency", "256"),
    ("event_log", "--events", "1000000"),
    ("langchain_rows", "--rows", "10000"),
)


def main() -> None:
    """Run each benchmark in a process of its own."""
    for script, *options in RUNS:
        module = f"benchmarks.{script}"
        print(f"$ python -m {' '.join((module, *options))}", flush=True)
        subprocess.run([sys.executable, "-m", module, *options], check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
