"""Generation from a config: a table of prompts in, the same table with answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from batchata.core.lazy import lazy_exports

if TYPE_CHECKING:
    from batchata.generate.config import Config
    from batchata.generate.loading import load_config, make_config
    from batchata.generate.merging import merge_splits
    from batchata.generate.metrics import Progress, ServerMetrics, Summary
    from batchata.generate.pipeline import GenerationPipeline

_HOMES: Final = {
    "Config": ".config",
    "GenerationPipeline": ".pipeline",
    "Progress": ".metrics",
    "ServerMetrics": ".metrics",
    "Summary": ".metrics",
    "load_config": ".loading",
    "make_config": ".loading",
    "merge_splits": ".merging",
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


__getattr__ = lazy_exports(__name__, _HOMES, extra="generate")
