"""A chain asked about every row of a table, as one run of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchata.batch import Batch
from batchata.core.errors import UnknownPriceError
from batchata.core.result import Reason
from batchata.integrations.langchain import caller as _caller  # noqa: F401  registers the provider
from batchata.integrations.langchain.answers import error_of
from batchata.integrations.langchain.asking import NAME, NO_PROMPT, Asked, Columns
from batchata.integrations.langchain.batching import ended
from batchata.integrations.langchain.configs import (
    ColumnConfig,
    JobConfig,
    LLMConfig,
    ProcessingConfig,
    S3Config,
    StorageConfig,
)
from batchata.integrations.langchain.logger import ParquetLogger
from batchata.integrations.langchain.serialization import output_of
from batchata.run import BatchRun

#: below the log's folder; a name that readers of Parquet folders pass over
_RUN_DIR = "_run"


async def batch_run(
    df: Any,
    llm: Any,
    prompt_col: str = "prompt",
    config_col: str = "config",
    tools_col: str = "tools",
    max_concurrency: int = 10,
    show_progress: bool = True,
    return_exceptions: bool = True,
    return_results: bool = True,
    *,
    results_dir: str | Path | None = None,
    cost_limit_usd: Decimal | float | None = None,
) -> list[Any] | None:
    """Ask a chat model or chain about each row of a pandas or polars table.

    Returns its outputs in the order of the rows, with exceptions in their places; without
    `return_exceptions` the first exception is raised when all rows have ended, and without
    `return_results` no outputs are held and None is returned. With `results_dir` every output is
    kept there as it comes, and a run that died resumes where it was. `config_col` has configs as
    `with_tags` makes them, `tools_col` tools. `cost_limit_usd` needs a chain with one model
    whose price is known. Raises UnknownPriceError and AccountStoppedError.
    """
    asked = Asked(llm, Columns.of(df, prompt_col, config_col, tools_col), return_results)
    batch = Batch(results_dir, result_format="jsonl", raw_files=False)
    batch.set_route("live", concurrency=max_concurrency)
    batch.set_provider(NAME, client=(asked, max_concurrency))
    if cost_limit_usd is not None:
        if asked.card() is None:
            raise UnknownPriceError(
                f"cost_limit_usd is {cost_limit_usd}, and the price of {asked.model_name} is not "
                "known",
                hint="leave cost_limit_usd out, or give a chain with one model of a known price",
            )
        batch.add_cost_limit(cost_limit_usd)
    if not len(asked.columns):
        return [] if return_results else None
    run = batch.add_jobs(asked.jobs()).start(print_status=show_progress)
    await ended(run)
    _log_unasked(run, asked)
    if not return_results and return_exceptions:
        return None
    outputs: list[Any] = []
    for each in _outputs(run, asked):
        if isinstance(each, BaseException) and not return_exceptions:
            raise each
        if return_results:
            outputs.append(each)
    return outputs if return_results else None


async def batch_process(
    df: Any,
    llm_config: LLMConfig,
    job_config: JobConfig | None = None,
    storage_config: StorageConfig | None = None,
    processing_config: ProcessingConfig | None = None,
    column_config: ColumnConfig | None = None,
) -> list[Any] | None:
    """`batch_run` with a model made from its config, and everything in a log of its own.

    Log and state lie below the folder that `storage_config` names, so that the same call resumes
    where it died. The environment variable LANGCHAIN_S3_BUCKET puts the log in a bucket as well.
    """
    job = job_config or JobConfig()
    storage = storage_config or StorageConfig()
    how, columns = processing_config or ProcessingConfig(), column_config or ColumnConfig()
    below = storage.folder(job)
    folder = Path(storage.output_dir) / below
    told = {
        "job": job.to_metadata_dict(),
        "llm": llm_config.to_metadata_dict(),
        "processing": asdict(how),
    }
    with ParquetLogger(
        folder,
        buffer_size=how.buffer_size,
        logger_metadata=told,
        partition_on=how.partition_on,
        event_types=how.event_types,
        s3_config=_bucket(storage.s3_config, below),
    ) as logger:
        return await batch_run(
            df,
            llm_config.create_llm([logger]),
            columns.prompt,
            columns.config,
            columns.tools,
            how.max_concurrency,
            how.show_progress,
            how.return_exceptions,
            how.return_results,
            results_dir=folder / _RUN_DIR,
            cost_limit_usd=how.cost_limit_usd,
        )


def _bucket(given: S3Config | None, below: str) -> S3Config | None:
    name = os.environ.get("LANGCHAIN_S3_BUCKET")
    config = given or (S3Config(bucket=name) if name else None)
    return None if config is None else replace(config, prefix=f"{config.prefix.strip('/')}/{below}")


def _outputs(run: BatchRun, asked: Asked) -> Iterator[Any]:
    """What came of each row, in the order of the rows."""
    found = run.results()
    by_id = {each.job_id: each for each in found.iter_all()}
    for job_id in asked.rows:
        result = by_id[job_id]
        if result.is_success:
            yield output_of(result)
        else:
            yield asked.errors.get(job_id) or error_of(result)


def _log_unasked(run: BatchRun, asked: Asked) -> None:
    """Rows that never reached the model are in the logs as well."""
    for result in run.results().failed:
        if result.reason is Reason.BAD_INPUT and result.job_id in asked.rows:
            config = asked.columns.row(asked.rows[result.job_id])[1]
            for logger in _loggers(asked.model, config):
                logger.note_unasked(result.job_id, config, result.error or NO_PROMPT)


def _loggers(model: Any, config: dict[str, Any]) -> list[ParquetLogger]:
    given = [getattr(model, "callbacks", None), config.get("callbacks")]
    lists = [getattr(each, "handlers", each) or () for each in given]
    return [each for found in lists for each in found if isinstance(each, ParquetLogger)]
