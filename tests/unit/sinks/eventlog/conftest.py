"""A disk whose power goes at a chosen step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log_lab import Killed

from batchata.sinks.eventlog import EventLog


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """`[n]`: the power goes before the n-th step that touches the disk, counted down."""
    left = [10**9]

    def fading(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*args, **options)

        monkeypatch.setattr(owner, name, step)

    monkeypatch.setattr(EventLog, "_start", lambda log: None)  # a dead process has no threads
    for owner, name in ((os, "write"), (os, "fsync"), (Path, "replace"), (Path, "unlink")):
        fading(owner, name)
    yield left
    left[0] = 10**9
