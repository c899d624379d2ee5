"""LangChain is imported by the tests that need it, not by every worker that collects them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import langchain_lab

    from batchata.gateway import Sandbox


@pytest.fixture(scope="session")
def lc() -> langchain_lab:
    """LangChain, our part for it, and models."""
    return importlib.import_module("langchain_lab")


@pytest.fixture
def box(shared_box: Sandbox) -> Sandbox:
    """An emptied sandbox in perfect health."""
    from batchata.gateway import Scenario

    shared_box.set_scenario(Scenario())
    shared_box.reset()
    return shared_box
