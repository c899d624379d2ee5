"""How long imports and `--help` take, beside a bare interpreter: median of seven, in ms."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import batchata": ["-c", "import batchata"],
    "from batchata import Batch": ["-c", "from batchata import Batch"],
    "batchata --help": [
        "-c",
        "import sys; from batchata.cli import main; sys.argv[1:] = ['--help']; main()",
    ],
}


def milliseconds(arguments: list[str]) -> float:
    """Wall time of one interpreter."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Print the medians."""
    for name, arguments in COMMANDS.items():
        times = [milliseconds(arguments) for _ in range(7)]
        print(f"{name:28} {statistics.median(times):7.1f} ms")


if __name__ == "__main__":
    main()
