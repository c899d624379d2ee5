"""Rows of a table through `batch_process`, with a model that answers at once: CPU and memory.

    python -m benchmarks.langchain_rows --rows 10000

The floor beside it is LangChain's own `.batch()` of the same model, with nothing kept.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from batchata.integrations.langchain import (
    LLMConfig,
    ProcessingConfig,
    StorageConfig,
    batch_process,
)
from benchmarks.batch_cpu import cpu_seconds

ANSWER = "Fine, thank you, and how is everybody at home?"
QUESTION = "Tell me, in a sentence or two, what you make of this review. " * 6


def peak_mb() -> float:
    """The most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def process(folder: Path, table: pd.DataFrame, concurrency: int) -> Any:
    """One call of `batch_process` that gives nothing back."""
    how = ProcessingConfig(max_concurrency=concurrency, show_progress=False)
    llm = LLMConfig(llm_class=FakeListChatModel, llm_kwargs={"responses": [ANSWER]})
    storage = StorageConfig(output_dir=str(folder))
    return asyncio.run(batch_process(table, llm, storage_config=storage, processing_config=how))


def main() -> None:
    """Print the figures and the floor of the same run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=20)
    options = parser.parse_args()
    table = pd.DataFrame({"prompt": [f"{QUESTION} {n}" for n in range(options.rows)]})
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    try:
        process(folder / "warm", table[:10], 2)
        before, began, had = cpu_seconds(), time.perf_counter(), peak_mb()
        process(folder / "all", table, options.concurrency)
        cpu, wall = cpu_seconds() - before, time.perf_counter() - began
        print(
            f"batch_process, {options.rows:,} rows: {cpu / options.rows * 1e3:.2f} ms CPU a row, "
            f"{options.rows / wall:,.0f} rows/s, peak {peak_mb():.0f} MB ({had:.0f} before)"
        )
        before = cpu_seconds()
        process(folder / "all", table, options.concurrency)
        print(f"the same again: {(cpu_seconds() - before) / options.rows * 1e3:.3f} ms CPU a row")
        before = cpu_seconds()
        FakeListChatModel(responses=[ANSWER]).batch(
            list(table["prompt"]), {"max_concurrency": options.concurrency}
        )
        print(f".batch() alone: {(cpu_seconds() - before) / options.rows * 1e3:.2f} ms CPU a row")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
