"""How long calls took: counts by size, so that a million of them need a few hundred numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

#: neighbouring sizes differ by a twentieth: percentiles are exact to 5 %
_STEP: Final = math.log(1.05)
_LEAST_SECONDS: Final = 1e-4


class Latencies:
    """Seconds of many calls, and their percentiles."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts = Counter({int(size): count for size, count in (counts or {}).items()})

    def add(self, seconds: float) -> None:
        """One more call."""
        self._counts[round(math.log(max(seconds, _LEAST_SECONDS)) / _STEP)] += 1

    def merge(self, other: Latencies) -> None:
        """All calls of another."""
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def percentile(self, share: float) -> float | None:
        """Seconds that a `share` of the calls (0 to 1) did not take longer than; None: no calls."""
        rank, seen = share * len(self), 0
        for size in sorted(self._counts):
            seen += self._counts[size]
            if seen >= rank:
                return math.exp(size * _STEP)
        return None

    def to_dict(self) -> dict[str, int]:
        """The counts, as `Latencies()` takes them back."""
        return {str(size): count for size, count in self._counts.items()}
