"""A worker of xdist, forked from the zygote: what others wrote is imported once for all workers."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Final

from zygote import Zygote

#: take long, and start no thread as they are imported; our own modules and plug-ins of pytest are
#: imported by each worker, which makes errors of their warnings
_IMPORTED: Final = (
    "aiohttp.web",
    "anthropic",
    "cryptography.x509",
    "fsspec",
    "genai_prices",
    "narwhals",
    "openai",
    "openpyxl",
    "pandas",
    "PIL.Image",
    "polars",
    "pyarrow.parquet",
    "pypdf",
    "requests",
    "rich.progress",
    "typer.main",
    "yaml",
)


def import_all() -> None:
    """Import what takes long."""
    for name in _IMPORTED:
        importlib.import_module(name)


def interpret(code: str) -> None:
    """Do what `python -c` does."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.argv = ["-c"]
    exec(code, {"__name__": "__main__"})


def main(folder: str, code: str) -> int:
    """Be what execnet takes for an interpreter."""
    zygote = Zygote(Path(folder))
    zygote.prepare(import_all)
    return zygote.run_here(interpret, code)


if __name__ == "__main__":
    import forked_worker  # orders are of this module, by its own name

    sys.exit(forked_worker.main(sys.argv[1], sys.argv[-1]))
