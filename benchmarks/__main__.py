"""All figures, one after the other: `python -m benchmarks`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNS = (
    ("import_time.py",),
    ("batch_cpu.py", "--jobs", "10000", "--vendor", "openai"),
    ("batch_cpu.py", "--jobs", "10000", "--vendor", "anthropic"),
    ("batch_cpu.py", "--jobs", "100000", "--vendor", "openai"),
)


def main() -> None:
    """Run each benchmark in a process of its own."""
    for script, *options in RUNS:
        path = Path(__file__).with_name(script)
        print(f"$ python benchmarks/{' '.join((script, *options))}", flush=True)
        subprocess.run([sys.executable, str(path), *options], check=True)


if __name__ == "__main__":
    main()
