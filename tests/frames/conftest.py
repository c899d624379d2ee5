"""`tables` runs extractions against a model whose answers a test writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from extraction_lab import FrameLab, Model, model_box

from batchata.engine import shutdown
from batchata.gateway import Sandbox, Scenario


@pytest.fixture(scope="session")
def model_sandbox() -> Iterator[tuple[Sandbox, Model]]:
    """One sandbox for all tests of this process."""
    with model_box() as made:
        yield made


@pytest.fixture
def tables(
    model_sandbox: tuple[Sandbox, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> FrameLab:
    """An emptied sandbox, a good model, and a folder."""

    box, model = model_sandbox
    box.set_scenario(Scenario())
    box.reset()
    model.forget()
    monkeypatch.setattr(shutdown, "GRACE_SECONDS", 60.0)
    return FrameLab(box, model, tmp_path)
