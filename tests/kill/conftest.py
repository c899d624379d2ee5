"""One arena for all kill tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kill_arena import Arena, arena


@pytest.fixture(scope="session")
def killing() -> Iterator[Arena]:
    """A sandbox and a zygote, each a process of its own."""
    with arena() as made:
        yield made
