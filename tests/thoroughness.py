"""How much of what can be sampled is tried: everywhere a little, all of it where CI is set."""

from __future__ import annotations

import os
from typing import Final

IS_THOROUGH: Final = bool(os.environ.get("CI"))


def how_often(times: int) -> int:
    """So many where CI is set, a quarter of them elsewhere."""
    return times if IS_THOROUGH else max(1, times // 4)
