"""The command line: `batchata run`, `status`, `results`, `resume` and the rest."""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    from batchata.cli.app import app

    app(args=None if args is None else list(args), prog_name="batchata")
