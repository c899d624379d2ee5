"""What each of the sandbox's named faults must come to, where that is not plain success."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from batchata import Reason
from batchata.gateway import FAULTS, Scenario


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault, the setting it needs to strike, and how the jobs end."""

    also: str = ""  #: further faults it is played with
    scenario: Scenario = field(default_factory=Scenario)
    jobs: int = 20
    items_per_batch: int | None = 10
    words: int = 1  #: length of each question
    settle_seconds: float = 0.02
    #: given up after: a call that a busy machine holds up is none that the vendor hangs up on
    timeout_seconds: float = 60
    #: reasons of the jobs that do not succeed; empty: all succeed
    reasons: frozenset[Reason] = frozenset()
    stops: bool = False  #: the account is stopped: the run raises, its jobs wait for the next run
    #: the vendor lost what it billed, or did not say how much: costs are an upper bound
    is_bound: bool = False
    is_billed_again: bool = False  #: a paid answer was lost at the vendor and asked for again


def failing(*reasons: Reason, is_bound: bool = False) -> Case:
    """Some jobs end with these reasons."""
    return Case(reasons=frozenset(reasons), is_bound=is_bound)


_ORPHAN: Final = "cut-after-create"
_STOPPED: Final = Case(stops=True)
_HANGS: Final = Case(timeout_seconds=0.5, settle_seconds=10)
_LOST: Final = Case(is_bound=True, is_billed_again=True)

#: by fault, or by "fault/vendor" where only one vendor is struck like that
SPECIAL: Final[dict[str, Case]] = {
    "missing-ids": _LOST,
    "null-output-file/openai": _LOST,
    "truncated-line": failing(Reason.UNREADABLE, is_bound=True),
    "unparsable-line": failing(Reason.UNREADABLE, is_bound=True),
    "failed-batch/openai": failing(Reason.BATCH_FAILED),
    "refusal": failing(Reason.REFUSED),
    "content-filter/openai": failing(Reason.FILTERED),
    "content-filter/anthropic": failing(Reason.REFUSED),
    "response-failed": failing(Reason.SERVER_ERROR),
    "item-invalid": failing(Reason.INVALID_REQUEST),
    "usage-null": Case(is_bound=True),
    "hang-after-create": _HANGS,
    "hang-poll": _HANGS,
    "insufficient-quota/openai": _STOPPED,
    "credit-exhausted/openai": _STOPPED,
    "spend-limit/anthropic": _STOPPED,
    "bad-key": _STOPPED,
    # these strike only where something else goes wrong, or where batches are large
    "listing-delay": Case(also=_ORPHAN, settle_seconds=10),
    "foreign-batches": Case(also=_ORPHAN),
    "clock-skew": Case(also=_ORPHAN),
    "clock-behind": Case(also=_ORPHAN),
    "list-errors": Case(also=_ORPHAN),
    "small-limits": Case(jobs=25, items_per_batch=None),
    "enqueued-limit": Case(words=1200, scenario=Scenario(latency_seconds=0.02)),
    "expired": Case(also="shuffled"),
}
#: faults that no run outlives; each has a test of its own
ENDLESS: Final = frozenset({"stuck-validating", "slow-cancel", "results-elsewhere"})
NAMES: Final = sorted(set(FAULTS) - ENDLESS)


def case_of(name: str, vendor: str) -> Case:
    """The case of a fault at a vendor."""
    return SPECIAL.get(f"{name}/{vendor}") or SPECIAL.get(name) or Case()
