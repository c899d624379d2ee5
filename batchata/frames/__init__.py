"""Tables in, tables out: one answer for each row, kept in a cache file of your own."""

from typing import TYPE_CHECKING

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.frames.anthropic_batch import AnthropicBatchExtractor
    from batchata.frames.cache import SqliteCache
    from batchata.frames.chunks import DataFrameIterator, compute_prompt_hash
    from batchata.frames.drafting import draft_prompt
    from batchata.frames.extracting import extract_df
    from batchata.frames.openai_batch import OpenAIBatchExtractor

__all__ = [
    "AnthropicBatchExtractor",
    "DataFrameIterator",
    "OpenAIBatchExtractor",
    "SqliteCache",
    "compute_prompt_hash",
    "draft_prompt",
    "extract_df",
]

_HOMES = {
    "AnthropicBatchExtractor": ".anthropic_batch",
    "DataFrameIterator": ".chunks",
    "OpenAIBatchExtractor": ".openai_batch",
    "SqliteCache": ".cache",
    "compute_prompt_hash": ".chunks",
    "draft_prompt": ".drafting",
    "extract_df": ".extracting",
}


__getattr__ = lazy_exports(__name__, _HOMES)
