"""The state of a batch at a moment: pure functions of its record and the time."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from batchata.gateway.sandbox.records import BatchRecord

Phase = Literal[
    "validating",
    "in_progress",
    "finalizing",
    "cancelling",
    "completed",
    "expired",
    "cancelled",
    "failed",
]
FINAL: Final = frozenset({"completed", "expired", "cancelled", "failed"})
VALIDATED_SHARE: Final = 0.1
RAN_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The moments of a batch's life, in epoch seconds, and how it ends."""

    validated_at: float
    finalizing_at: float
    ends_at: float
    outcome: Phase
    done_share: float = 1.0  #: of its items, when it ends


def timeline(batch: BatchRecord, *, window_seconds: float, cancel_seconds: float) -> Timeline:
    """Lay out a batch's life as known now; a cancellation changes it."""
    start, length = batch.created_at, batch.latency_seconds
    plain = Timeline(
        validated_at=start + VALIDATED_SHARE * length,
        finalizing_at=start + RAN_SHARE * length,
        ends_at=start + length,
        outcome="completed",
    )
    if batch.errors:
        return _ending(plain, plain.validated_at, "failed", 0.0)
    if batch.cancel_at is not None:
        done = 0.0 if batch.fault("stuck_validating") else _progress(plain, batch.cancel_at)
        return _ending(plain, batch.cancel_at + cancel_seconds, "cancelled", done)
    if batch.fault("stuck_validating"):
        return Timeline(validated_at=inf, finalizing_at=inf, ends_at=inf, outcome="expired")
    if length > window_seconds:
        return _ending(plain, start + window_seconds, "expired", window_seconds / length)
    if fault := batch.fault("expired"):
        return _ending(plain, plain.ends_at, "expired", fault.share)
    if fault := batch.fault("cancelled"):
        return _ending(plain, plain.ends_at, "cancelled", fault.share)
    return plain


def phase_at(batch: BatchRecord, life: Timeline, now: float) -> Phase:
    """Return the batch's phase."""
    if now >= life.ends_at:
        return life.outcome
    if batch.cancel_at is not None:
        return "cancelling"
    if now < life.validated_at:
        return "validating"
    return "in_progress" if now < life.finalizing_at else "finalizing"


def items_done(batch: BatchRecord, life: Timeline, now: float) -> int:
    """Count the items that are done."""
    if now >= life.ends_at:
        return int(batch.n * life.done_share)
    moment = now if batch.cancel_at is None else min(now, batch.cancel_at)
    return int(batch.n * min(_progress(life, moment), life.done_share))


def _ending(plain: Timeline, ends_at: float, outcome: Phase, done_share: float) -> Timeline:
    return Timeline(
        validated_at=plain.validated_at,
        finalizing_at=plain.finalizing_at,
        ends_at=ends_at,
        outcome=outcome,
        done_share=done_share,
    )


def _progress(life: Timeline, now: float) -> float:
    span = life.finalizing_at - life.validated_at
    if now >= life.finalizing_at or span <= 0:
        return 1.0
    return max(0.0, (now - life.validated_at) / span)
