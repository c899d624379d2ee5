"""Floor 0: values and rules. Pure: no input or output, no clock, no environment.

Earlier releases had the builder here too: those names are found where they live now.
"""

from batchata.core.lazy import lazy_exports

_HOMES = {
    "Batch": "batchata",
    "BatchParams": "batchata",
    "BatchRun": "batchata",
    "Job": "batchata.core.job",
    "JobResult": "batchata.core.result",
}


__getattr__ = lazy_exports(__name__, _HOMES)
