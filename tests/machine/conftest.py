"""Labs that are taken down after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_lab import EngineLab


@pytest.fixture
def make_lab() -> Iterator[Callable[..., EngineLab]]:
    """A script of some jobs, with settings of its own."""
    made: list[EngineLab] = []

    def make(jobs: int = 1, **settings: Any) -> EngineLab:
        made.append(EngineLab(jobs, **settings))
        return made[-1]

    yield make
    for lab in made:
        lab.close()
