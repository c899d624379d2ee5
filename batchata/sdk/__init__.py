"""Floor 3: a run as scripts use it, behind `Batch` and `BatchRun`."""
