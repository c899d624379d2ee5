"""One arena for all kill tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kill_arena import Arena

#: processes are forked and killed by signals here
collect_ignore_glob = [] if hasattr(os, "fork") else ["*"]


@pytest.fixture(scope="session")
def killing() -> Iterator[Arena]:
    """A sandbox and a zygote, each a process of its own."""
    from kill_arena import arena

    with arena() as made:
        yield made
