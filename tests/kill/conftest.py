"""One arena for all kill tests of a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kill_arena import Arena
    from zygote import Zygote

#: processes are forked and killed by signals here
collect_ignore_glob = [] if hasattr(os, "fork") else ["*"]


@pytest.fixture(scope="session")
def killing(zygote: Zygote) -> Iterator[Arena]:
    """A sandbox process, and scripts that are killed."""
    from kill_arena import Arena

    with Arena(zygote) as made:
        yield made
