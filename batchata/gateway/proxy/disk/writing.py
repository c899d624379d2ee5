"""Short writes on the loop itself: a hop to a thread costs many times as much.

A thread that wants the interpreter is woken in vain each time the loop releases it for a moment,
which at thousands of calls a second takes a quarter of their CPU. Writes to a slow disk still go to
a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

#: other calls would notice a write that takes longer
_SLOW_SECONDS: Final = 0.05
#: how long after a slow write the next ones go to a thread
_WARY_SECONDS: Final = 30.0
#: more than this is not written on the loop
_MOST_BYTES: Final = 256 * 1024


class Writing:
    """Runs writes at once while they are quick, and in a thread while they are not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wary_until = 0.0

    async def run(self, write: Callable[..., object], *given: Any, size_bytes: int = 0) -> None:
        """Run a write; what it raises is raised here."""
        began = self._clock()
        if began < self._wary_until or size_bytes > _MOST_BYTES:
            await asyncio.to_thread(write, *given)
            return
        try:
            write(*given)
        finally:
            ended = self._clock()
            if ended - began > _SLOW_SECONDS:
                self._wary_until = ended + _WARY_SECONDS
