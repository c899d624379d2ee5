"""Chunks of a table, and prompts written by a model."""

from __future__ import annotations

import inspect

import pandas as pd
import polars as pl
import pytest
from extraction_lab import FrameLab

from batchata.core.errors import ValidationError
from batchata.frames import (
    AnthropicBatchExtractor,
    DataFrameIterator,
    OpenAIBatchExtractor,
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
    extract_df: "df prompt cache_path model schema backend id_col text_col chunk_size max_workers "
    "fresh ignore_prompt_hash api_key base_url client",
    draft_prompt: "goal backend model api_key base_url print_prompt",
    OpenAIBatchExtractor.__init__: "self batch_root_dir max_requests_per_batch api_key",
    OpenAIBatchExtractor.create_batch_jsonl: "self dataframe id_col text_col prompt job_id "
    "model_name temperature chunk_size exclude_processed schema_dict",
    OpenAIBatchExtractor.check_batch_status: "self job_id continuous interval",
    AnthropicBatchExtractor.__init__: "self batch_root_dir api_key",
    AnthropicBatchExtractor.create_batch_requests: "self dataframe id_col text_col prompt job_id "
    "model_name chunk_size schema_dict tool_name max_tokens",
    AnthropicBatchExtractor.check_batch_status: "self job_id continuous interval timeout",
    AnthropicBatchExtractor.retrieve_results_as_dataframe: "self job_id tool_name",
    DataFrameIterator.__init__: "self dataframe id_col text_col chunk_size formatted_id_col "
    "formatted_text_col",
}


@pytest.mark.parametrize("function", KNOWN, ids=lambda function: function.__qualname__)
def test_calls_of_earlier_scripts_are_understood(function: object) -> None:
    names = list(inspect.signature(function).parameters)  # type: ignore[arg-type]
    known = KNOWN[function].split()  # type: ignore[index]

    assert names[: len(known)] == known
