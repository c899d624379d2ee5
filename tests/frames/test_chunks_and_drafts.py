"""Chunks of a table, and prompts written by a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pytest
from extraction_lab import FrameLab

from batchata.core.errors import ValidationError
from batchata.frames import (
    AnthropicBatchExtractor,
    DataFrameIterator,
    OpenAIBatchExtractor,
    SqliteCache,
    compute_prompt_hash,
    draft_prompt,
    extract_df,
)
from batchata.gateway import Scenario


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_chunks_are_formatted_counted_and_made_anew(kind: type) -> None:
    chunks = DataFrameIterator(kind({"k": [1, 2, 3], "t": ["a", "b", "c"]}), "k", "t", chunk_size=2)

    first, second = list(chunks), list(chunks)

    assert len(chunks) == 2
    assert first == second
    assert first[0] == [
        {"input_id": "1", "input_text": "a"},
        {"input_id": "2", "input_text": "b"},
    ]


def test_chunks_may_use_other_names() -> None:
    df = pd.DataFrame({"k": [1], "t": ["a"]})

    (chunk,) = DataFrameIterator(df, "k", "t", formatted_id_col="n", formatted_text_col="said")

    assert chunk == [{"n": "1", "said": "a"}]


def test_a_draft_comes_without_its_fence_and_is_shown(
    tables: FrameLab, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.box.set_scenario(Scenario(replies={"the goal": "```text\nExtract moods.\n```"}))

    draft = draft_prompt("the goal", api_key="sk-test", base_url=tables.box.openai_base_url)

    assert draft == "Extract moods."
    assert capsys.readouterr().out == "Extract moods.\n"


def test_a_draft_that_does_not_come_is_an_error(tables: FrameLab) -> None:
    tables.box.set_scenario(Scenario(replies={"the goal": " "}))

    with pytest.raises(ValidationError, match="no prompt was written"):
        draft_prompt(
            "the goal",
            backend="anthropic",
            model="claude-haiku-5-5",
            api_key="sk-test",
            base_url=tables.box.anthropic_base_url,
        )


KNOWN = {
    extract_df: "df, *, prompt, cache_path, model, schema=None, backend='openai', id_col='id', "
    "text_col='text', chunk_size=5, max_workers=20, fresh=False, ignore_prompt_hash=False, "
    "api_key=None, base_url=None, client=None",
    draft_prompt: "goal, *, backend='openai', model='gpt-4.1-mini', api_key=None, base_url=None, "
    "print_prompt=True",
    compute_prompt_hash: "prompt",
    OpenAIBatchExtractor: "batch_root_dir='batch_jobs', max_requests_per_batch=5000, api_key=None",
    OpenAIBatchExtractor.create_batch_jsonl: "self, dataframe, id_col, text_col, prompt, job_id, "
    "model_name, temperature=0.0, chunk_size=5, exclude_processed=True, schema_dict=None",
    OpenAIBatchExtractor.submit_batches: "self, job_id",
    OpenAIBatchExtractor.check_batch_status: "self, job_id, continuous=False, interval=300",
    OpenAIBatchExtractor.retrieve_results_as_dataframe: "self, job_id",
    AnthropicBatchExtractor: "batch_root_dir='anthropic_batch_jobs', api_key=None",
    AnthropicBatchExtractor.create_batch_requests: "self, dataframe, id_col, text_col, prompt, "
    "job_id, model_name, chunk_size=5, schema_dict=None, tool_name='extract_results', "
    "max_tokens=32000",
    AnthropicBatchExtractor.submit_batch: "self, job_id",
    AnthropicBatchExtractor.check_batch_status: "self, job_id, continuous=False, interval=30, "
    "timeout=None",
    AnthropicBatchExtractor.retrieve_results_as_dataframe: "self, job_id, "
    "tool_name='extract_results'",
    SqliteCache: "db_path",
    SqliteCache.get: "self, row_id, prompt_hash=None",
    SqliteCache.put: "self, row_id, result, prompt_hash=None",
    SqliteCache.all_ids: "self, prompt_hash=None",
    DataFrameIterator: "dataframe, id_col, text_col, chunk_size=5, formatted_id_col='input_id', "
    "formatted_text_col='input_text'",
}


@pytest.mark.parametrize("function", KNOWN, ids=lambda function: function.__qualname__)
def test_calls_of_earlier_scripts_are_understood(function: Callable[..., Any]) -> None:
    known = inspect.signature(function).parameters.values()
    bare = [each.replace(annotation=inspect.Signature.empty) for each in known]

    said = str(inspect.Signature(bare))

    assert said.startswith("(" + KNOWN[function])
