"""Generation from a config: a table of prompts in, the same table with answers out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from batchata.generate.config import Config
    from batchata.generate.loading import load_config, make_config
    from batchata.generate.merging import merge_splits
    from batchata.generate.metrics import Progress, ServerMetrics, Summary
    from batchata.generate.pipeline import GenerationPipeline

_HOMES: Final = {
    "Config": "config",
    "GenerationPipeline": "pipeline",
    "Progress": "metrics",
    "ServerMetrics": "metrics",
    "Summary": "metrics",
    "load_config": "loading",
    "make_config": "loading",
    "merge_splits": "merging",
}

__all__ = [
    "Config",
    "GenerationPipeline",
    "Progress",
    "ServerMetrics",
    "Summary",
    "load_config",
    "make_config",
    "merge_splits",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
