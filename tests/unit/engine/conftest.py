"""A bench for every test of the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An engine without jobs."""
    return Bench(tmp_path)
