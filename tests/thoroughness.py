"""How much of what can be sampled is tried: a little, or with THOROUGH set all of it."""

from __future__ import annotations

import os
from typing import Final

IS_THOROUGH: Final = bool(os.environ.get("THOROUGH"))


def how_often(times: int) -> int:
    """So many where THOROUGH is set, a quarter of them elsewhere."""
    return times if IS_THOROUGH else max(1, times // 4)
