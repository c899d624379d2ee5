"""What a run would send and cost, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEstimate:
    """What the jobs of one model would be; costs in USD."""

    provider: str
    model: str
    jobs: int
    chunks: int
    size_bytes: int  #: of all requests, with the files that travel inside them
    expected_usd: Decimal
    worst_case_usd: Decimal
    is_exact: bool  #: False where a price or a discount is not known for sure
    #: what is expected if all of it goes live in the end; None but for the auto route
    expected_live_usd: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run would send and cost, by model and in total; costs in USD.

    The worst case is a bound: the bill is never higher. The expected cost assumes four bytes a
    token, a quarter of the most that a document can be, and half of `max_tokens` for an answer.
    """

    models: tuple[ModelEstimate, ...]
    done: int  #: jobs that are not asked again: the state file has an answer, or a vendor has them
    bad: tuple[str, ...]  #: why some jobs cannot be sent
    limit_usd: Decimal | None
    shared: int = 0  #: jobs that are given the answer of another, which asks the same
    cached: int = 0  #: jobs that are given an answer of the answer cache
    uploads: int = 0  #: files that are uploaded once, and named by id in the requests
    upload_bytes: int = 0  #: of these files

    @property
    def jobs(self) -> int:
        """Jobs that would be sent."""
        return sum(each.jobs for each in self.models)

    @property
    def chunks(self) -> int:
        """Batches that would be made."""
        return sum(each.chunks for each in self.models)

    @property
    def size_bytes(self) -> int:
        """Bytes of all requests, with the files that travel inside them."""
        return sum(each.size_bytes for each in self.models)

    @property
    def expected_usd(self) -> Decimal:
        """What the run will probably cost."""
        return sum((each.expected_usd for each in self.models), Decimal(0))

    @property
    def expected_live_usd(self) -> Decimal | None:
        """What an auto run will probably cost if no batch is back in time; None on other routes."""
        found = [each.expected_live_usd for each in self.models]
        known = [each for each in found if each is not None]
        return sum(known, Decimal(0)) if known else None

    @property
    def worst_case_usd(self) -> Decimal:
        """The most that the run can cost."""
        return sum((each.worst_case_usd for each in self.models), Decimal(0))

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON-ready values."""
        return {
            "jobs": self.jobs,
            "chunks": self.chunks,
            "bytes": self.size_bytes,
            "uploads": self.uploads,
            "upload_bytes": self.upload_bytes,
            "expected_usd": float(self.expected_usd),
            "expected_live_usd": _plain(self.expected_live_usd),
            "worst_case_usd": float(self.worst_case_usd),
            "limit_usd": _plain(self.limit_usd),
            "already_done": self.done,
            "shared": self.shared,
            "cached": self.cached,
            "bad_jobs": list(self.bad),
            "models": [
                {
                    "provider": each.provider,
                    "model": each.model,
                    "jobs": each.jobs,
                    "chunks": each.chunks,
                    "bytes": each.size_bytes,
                    "expected_usd": float(each.expected_usd),
                    "expected_live_usd": _plain(each.expected_live_usd),
                    "worst_case_usd": float(each.worst_case_usd),
                    "is_exact": each.is_exact,
                }
                for each in self.models
            ],
        }


def _plain(usd: Decimal | None) -> float | None:
    return None if usd is None else float(usd)
