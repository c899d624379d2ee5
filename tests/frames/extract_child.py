"""What other processes do: they extract, as a user's script does."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any, cast

from extraction_lab import GPT, SCHEMA, frame

from batchata.frames import extract_df


def extract(cache_path: str, address: str, route: str, workers: int) -> None:
    """Extract all texts into this cache."""
    extract_df(
        frame(),
        prompt="Say the mood.",
        cache_path=cache_path,
        model=GPT,
        schema=SCHEMA,
        api_key="sk-test",
        base_url=address,
        chunk_size=1,
        max_workers=workers,
        route=cast(Any, route),
        print_status=False,
    )


def warm_up(address: str) -> None:
    """Make the lazy imports of both routes."""
    with TemporaryDirectory() as folder:
        extract(f"{folder}/warm.sqlite", address, "live", 4)
        extract(f"{folder}/warm_batch.sqlite", address, "batch", 4)
