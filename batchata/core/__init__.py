"""Floor 0: values and rules. Pure: no input or output, no clock, no environment.

Earlier releases had the builder here too: those names are found where they live now.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Batch": "batchata",
    "BatchParams": "batchata",
    "BatchRun": "batchata",
    "Job": "batchata.core.job",
    "JobResult": "batchata.core.result",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
