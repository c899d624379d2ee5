"""A million events of 1 KB through a LangChain logger: CPU, memory, and what a call costs.

    python -m benchmarks.event_log --events 1000000

The floor beside it is the same JSON appended to a file and nothing more. The files are read back
by pyarrow, pandas, polars and DuckDB, where these are installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from batchata.integrations.langchain import ParquetLogger, with_tags
from benchmarks.batch_cpu import cpu_seconds

TEXT = "A sentence of a question or an answer, of about the usual length. " * 8
SERIALIZED = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
    "name": "ChatOpenAI",
}
PARAMS = {"model": "gpt-6-luna", "_type": "openai-chat", "temperature": 0, "stop": None}
METADATA = {"ls_provider": "openai", "ls_model_name": "gpt-6-luna", "ls_model_type": "chat"}


def answer() -> Any:
    """What a chat model gives back."""
    from langchain_core.messages import AIMessage

    usage = {"input_tokens": 100, "output_tokens": 100, "total_tokens": 200}
    said = {"model_name": "gpt-6-luna", "finish_reason": "stop"}
    return AIMessage(TEXT, usage_metadata=usage, response_metadata=said)


def peak_mb() -> float:
    """The most memory this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def log_events(folder: Path, count: int) -> None:
    """Starts and ends of calls, as LangChain tells them."""
    from langchain_core.messages import HumanMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    asked = [[HumanMessage(TEXT)]]
    output = {"model_name": "gpt-6-luna"}
    result = LLMResult(generations=[[ChatGeneration(message=answer())]], llm_output=output)
    before, began = cpu_seconds(), time.perf_counter()
    logger = ParquetLogger(folder / "logs", buffer_size=1000)
    for number in range(count // 2):
        run_id = UUID(int=number)
        said: dict[str, Any] = {"run_id": run_id, "tags": [f"logger_custom_id:row-{number}"]}
        more = {"metadata": METADATA, "invocation_params": PARAMS}
        logger.on_chat_model_start(SERIALIZED, asked, **said, **more)
        logger.on_llm_end(result, **said)
    logger.close()
    cpu, wall = cpu_seconds() - before, time.perf_counter() - began
    size = sum(each.stat().st_size for each in (folder / "logs").rglob("*.parquet"))
    print(
        f"logged: {cpu:.1f} s CPU ({cpu / count * 1e6:.1f} µs an event), {wall:.1f} s, "
        f"peak {peak_mb():.0f} MB, {size / count:.0f} bytes an event on disk"
    )


def append_only(folder: Path, count: int) -> None:
    """The floor: the same texts as JSON, appended to a file."""
    event = {"event_type": "llm_end", "run_id": str(UUID(int=1)), "data": {"text": TEXT * 2}}
    descriptor = os.open(folder / "floor.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    before = cpu_seconds()
    for _ in range(count):
        os.write(descriptor, orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))
    os.close(descriptor)
    print(f"appending JSON alone: {(cpu_seconds() - before) / count * 1e6:.1f} µs an event")


def cost_of_a_call(folder: Path, count: int) -> None:
    """CPU that a logger adds to a call of a model that answers at once.

    The floor beside it is a handler that does nothing, which LangChain tells the same.
    """
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Ready(BaseChatModel):
        """Gives the same answer again and again."""

        @property
        def _llm_type(self) -> str:
            return "ready"

        def _generate(self, *_: Any, **__: Any) -> ChatResult:
            return ready

    ready = ChatResult(generations=[ChatGeneration(message=answer())])
    llm = Ready()

    def ask(callbacks: list[Any]) -> float:
        before = cpu_seconds()
        for number in range(count // 20):
            config: Any = with_tags(custom_id=number, config={"callbacks": callbacks})
            llm.invoke(TEXT, config)
        return (cpu_seconds() - before) / (count // 20) * 1e6

    class Idle(BaseCallbackHandler):
        """Is told of chat models, and does nothing."""

        run_inline = True

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            """A model is asked."""

    bare, idle, logged = [], [], []
    with ParquetLogger(folder / "calls", buffer_size=1000) as logger:
        for _ in range(20):  # the least disturbed turn counts
            bare.append(ask([]))
            idle.append(ask([Idle()]))
            logged.append(ask([logger]))
    added, least = min(logged) - min(bare), min(idle) - min(bare)
    print(
        f"a call: {min(bare):.0f} µs without a logger; a logger adds {added:.0f} µs "
        f"(a handler that does nothing: {least:.0f})"
    )


def read_back(folder: Path, count: int) -> None:
    """Other readers find every event."""
    readers: dict[str, Callable[[str], int]] = {
        "pyarrow": _pyarrow,
        "pandas": _pandas,
        "polars": _polars,
        "duckdb": _duckdb,
    }
    for name, read in readers.items():
        began = time.perf_counter()
        try:
            found = read(str(folder / "logs"))
        except ImportError:
            continue
        assert found == count, (name, found)
        print(f"read by {name}: {found:,} events, {time.perf_counter() - began:.1f} s")


def _pyarrow(logs: str) -> int:
    import pyarrow.dataset

    return int(pyarrow.dataset.dataset(logs, partitioning="hive").count_rows())


def _pandas(logs: str) -> int:
    import pandas as pd

    return len(pd.read_parquet(logs, columns=["timestamp"]))


def _polars(logs: str) -> int:
    import polars as pl

    return int(pl.scan_parquet(f"{logs}/**/*.parquet").select(pl.len()).collect().item())


def _duckdb(logs: str) -> int:
    import duckdb

    [[found]] = duckdb.sql(f"select count(*) from '{logs}/**/*.parquet'").fetchall()
    return int(found)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=6000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="batchata-bench-"))
    print(f"{options.events:,} events of 1 KB; Python with LangChain has {peak_mb():.0f} MB")
    try:
        log_events(folder, options.events)
        append_only(folder, min(options.events, 100_000))
        cost_of_a_call(folder, options.calls)
        read_back(folder, options.events)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
