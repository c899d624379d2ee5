"""A sandbox whose clock can be put forward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from run_lab import Lab
from state_lab import Later

from batchata.gateway import Sandbox, Scenario


@pytest.fixture(scope="module")
def later() -> Later:
    return Later()


@pytest.fixture(scope="module")
def box(later: Later) -> Iterator[Sandbox]:
    with Sandbox(clock=later) as made:
        yield made


@pytest.fixture
def lab(box: Sandbox, tmp_path: Path) -> Lab:
    """An emptied sandbox, without books: files saved here never came from commits."""
    box.set_scenario(Scenario())
    box.reset()
    return Lab(box, tmp_path)
