"""Calls to a vendor in memory, which fail as they are told."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class ScriptedCalls:
    """`break_next("create", error)` makes the next such call fail; with `after=True` the work is
    done before, as when an answer is lost.
    """

    calls: list[str] = field(default_factory=list)  #: names of all calls, in order
    _breaks: dict[str, deque[tuple[BaseException, bool]]] = field(
        default_factory=lambda: defaultdict(deque)
    )

    def break_next(
        self, method: str, error: BaseException, *, after: bool = False, times: int = 1
    ) -> None:
        """The next `times` calls of `method` raise `error`, before or after their work."""
        self._breaks[method].extend([(error, after)] * times)

    async def _do(self, name: str, work: Callable[[], T]) -> T:
        self.calls.append(name)
        await asyncio.sleep(0)  # a call gives others a turn, as any real one
        breaks = self._breaks[name]
        error, after = breaks.popleft() if breaks else (None, False)
        if error is not None and not after:
            raise error
        result = work()
        if error is not None:
            raise error
        return result
