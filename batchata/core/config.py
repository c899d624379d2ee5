"""The settings of one run, frozen when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from batchata.core.budget import checked_usd
from batchata.core.errors import ValidationError
from batchata.core.job import check_number
from batchata.core.pacing import PaceCaps
from batchata.core.pilot import PilotSize
from batchata.core.result import PAID_FAILURES, Reason
from batchata.core.retry import Backoff
from batchata.core.upload import UploadMode

ResultFormat = Literal["json", "jsonl", "parquet"]
OnStop = Literal["detach", "cancel"]
OnUnresolved = Literal["wait", "ask", "resubmit"]
OnChanged = Literal["error", "keep"]
RouteName = Literal["batch", "live", "background", "auto"]
Reuse = Literal["strict", "ignore_params", "ignore_prompt", "fresh"]
#: what a run without a script takes up: jobs at a vendor, those not ended, or those without success
Attached = Literal["in_flight", "pending", "failed"]

_SMALL_BATCH: Final = 50
LEVELS: Final = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All settings of a run, as plain values; most are checked by the builder's own calls.

    Raises ValidationError for limits that make no sense, and takes paths and amounts as people
    write them: scripts that make a BatchRun themselves know it as `BatchParams`.
    """

    state_file: Path | None = None
    results_dir: Path | None = None
    max_parallel_batches: int = 10
    items_per_batch: int | None = 10
    cost_limit_usd: Decimal | None = None
    default_params: Mapping[str, Any] = field(default_factory=dict)
    reuse_state: bool = True
    raw_files: bool = True
    verbosity: str | None = None
    time_limit_seconds: float | None = None
    _: KW_ONLY
    #: what to do after a stop, where the state file is no business of the user's: not shown then
    go_on: str | None = None
    on_changed: OnChanged = "error"
    result_format: ResultFormat = "json"
    allow_unpriced: bool = False
    prices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queue_tokens: Mapping[str, int] = field(default_factory=dict)
    max_attempts: int = 3
    retry_on: frozenset[Reason] = frozenset()
    max_reasks: int = 2  #: how often an answer that does not fit is asked for again
    on_stop: OnStop = "detach"
    on_unresolved: OnUnresolved = "wait"
    cache_file: Path | None = None
    cache_reuse: Reuse = "strict"
    dedupe: bool = False  #: jobs that ask the same are asked once
    route: RouteName = "batch"
    finish_within_seconds: float | None = None  #: of the auto route: for its batches
    pilot: PilotSize | None = None
    event_log: str | None = None  #: a folder or an address
    event_log_stops: bool = False  #: the run, when the log cannot be written
    event_log_spans: bool | Literal["content"] = False  #: OpenTelemetry's, of the same events
    uploads: UploadMode = "auto"
    pace: PaceCaps = field(default_factory=PaceCaps)  #: of the live route
    #: of the live route, where the vendor names no wait
    backoff: Backoff = field(default_factory=lambda: Backoff(first_seconds=0.5, most_seconds=30.0))
    commit_rows: int = 500  #: live answers that wait for the disk; none waits longer than 0.1 s
    #: how long a create call whose answer was lost may still show up at the vendor
    settle_seconds: float = 60.0
    #: the vendor's pace is multiplied by this; tests use less than one
    poll_factor: float = 1.0

    def __post_init__(self) -> None:
        # a script without types may say None here, which is no number of batches
        check_number("max_parallel_batches", self.max_parallel_batches or 0, least=1, whole=True)
        check_number("items_per_batch", self.items_per_batch, least=1, whole=True)
        check_number("time_limit_seconds", self.time_limit_seconds, least=0)
        for name in ("state_file", "results_dir", "cache_file"):
            path = getattr(self, name)
            if isinstance(path, str):
                object.__setattr__(self, name, Path(path))
        if self.cost_limit_usd is not None:
            object.__setattr__(self, "cost_limit_usd", checked_usd(self.cost_limit_usd))

    @property
    def has_small_batches(self) -> bool:
        """True when no batch has more than a few dozen jobs."""
        return self.items_per_batch is not None and self.items_per_batch <= _SMALL_BATCH

    @property
    def makes_batches(self) -> bool:
        """True for a route that sends batches where a vendor has them."""
        return self.route in ("batch", "auto")


def checked_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValidationError unless `value` is one of `choices`."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValidationError(f"{name} is {value!r}", hint=f"{name} is one of {listed}")


def checked_flag(name: str, value: object) -> bool:
    """The value, True or False; ValidationError for anything else: "no" would be true."""
    if not isinstance(value, bool):
        raise ValidationError(f"{name} is {value!r}", hint=f"{name} is True or False")
    return value


def check_mapping(name: str, value: object, example: str) -> None:
    """Raise ValidationError, showing an example, unless `value` is a mapping."""
    if not isinstance(value, Mapping):
        raise ValidationError(f"{name} is {value!r:.80}, not a mapping", hint=f"write {example}")


def check_callable(name: str, value: object) -> None:
    """Raise ValidationError unless `value` is None or can be called."""
    if value is not None and not callable(value):
        raise ValidationError(
            f"{name} is {value!r:.80}, which cannot be called", hint=f"give {name} a function"
        )


def checked_reasons(values: object) -> frozenset[Reason]:
    """Reasons a paid answer is asked for again; ValidationError for any other word."""
    if isinstance(values, str) or not isinstance(values, (list, tuple, set, frozenset)):
        raise ValidationError(
            f"retry_on is {values!r}, not a list", hint='write retry_on=["truncated"]'
        )
    allowed = {str(reason) for reason in PAID_FAILURES}
    for value in values:
        if value not in allowed:
            raise ValidationError(
                f"retry_on has {value!r}", hint=f"it may name {', '.join(sorted(allowed))}"
            )
    return frozenset(Reason(value) for value in values)
