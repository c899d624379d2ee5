"""Tables in, tables out: one answer for each row, kept in a cache file of your own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "AnthropicBatchExtractor": "anthropic_batch",
    "DataFrameIterator": "chunks",
    "OpenAIBatchExtractor": "openai_batch",
    "SqliteCache": "cache",
    "compute_prompt_hash": "chunks",
    "draft_prompt": "drafting",
    "extract_df": "extracting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
