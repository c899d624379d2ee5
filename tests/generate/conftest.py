"""Generations against one sandbox for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from generation_lab import GenerationLab

from batchata.gateway import Sandbox, Scenario


@pytest.fixture
def made(shared_box: Sandbox, tmp_path: Path) -> GenerationLab:
    """An emptied sandbox in perfect health, and a folder."""
    shared_box.set_scenario(Scenario())
    shared_box.reset()
    return GenerationLab(shared_box, tmp_path)
