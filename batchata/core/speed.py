"""How fast a run has been over its last few seconds."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 10.0
#: readings closer together than this are not kept
_LEAST_SECONDS = 0.2


class Speed:
    """Jobs a second and tokens a minute, over the last ten seconds. Pure: the time is passed in."""

    def __init__(self, now: float, jobs: int, tokens: int) -> None:
        self._seen = deque([(now, jobs, tokens)])

    def read(self, now: float, jobs: int, tokens: int) -> tuple[float, float]:
        """(jobs a second, tokens a minute); `jobs` and `tokens` are totals since the start."""
        seen = self._seen
        while len(seen) > 1 and seen[1][0] <= now - _WINDOW_SECONDS:
            seen.popleft()
        at, jobs_then, tokens_then = seen[0]
        if now - seen[-1][0] >= _LEAST_SECONDS:
            seen.append((now, jobs, tokens))
        took = now - at
        if took <= 0:
            return 0.0, 0.0
        return max(0, jobs - jobs_then) / took, max(0, tokens - tokens_then) * 60.0 / took
