"""How fast a generation is, for people while it runs, and how fast it was, for its summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from batchata.core.latencies import Latencies
from batchata.generate.ledger import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetrics:
    """What one server did; latencies are in seconds, and None if it answered nothing."""

    url: str
    answered: int
    failed: int
    input_tokens: int
    output_tokens: int
    is_up: bool
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a generation in progress is."""

    rows: int  #: of this split
    answers_wanted: int  #: rows times samples
    answers: int  #: final ones, including failures
    failed: int
    in_flight: int
    input_tokens: int
    output_tokens: int
    seconds: float
    answers_now: int  #: answered by this execution
    workers: int
    servers: tuple[ServerMetrics, ...]

    @property
    def rate(self) -> float:
        """Answers a second, in this execution."""
        return self.answers_now / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left at the current rate; None while there is none."""
        left = self.answers_wanted - self.answers
        return left / self.rate if self.rate else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of a finished generation, as in the summary file beside the output."""

    output: str
    model: str
    total_items: int  #: rows
    total_responses: int  #: rows times samples
    failed: int  #: responses without a usable answer; `error` says why
    truncated: int  #: responses that hit max_tokens
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    processing_time: float  #: seconds of the execution that completed it
    items_per_second: float
    responses_per_second: float
    tokens_per_second: float
    servers: tuple[ServerMetrics, ...]
    first_error: str | None = None
    is_new: bool = True  #: False: it was complete already, and nothing was sent

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON-ready values."""
        said = asdict(self)
        said.pop("is_new")
        said["cost_usd"] = float(self.cost_usd)
        return said

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Summary:
        """The summary from what an output records about itself."""
        values = {each.name: said[each.name] for each in fields(cls) if each.name in said}
        values["cost_usd"] = Decimal(str(said["cost_usd"]))
        values["servers"] = tuple(ServerMetrics(**each) for each in said["servers"])
        return cls(**values, is_new=False)


def summary_of(
    tally: Tally,
    *,
    rows: int,
    seconds: float,
    reports: Mapping[str, Mapping[str, Any]],
    cost_usd: Decimal,
    model: str,
    output: Path,
) -> Summary:
    """The summary over all workers; rates are those of this execution."""
    answers = sum(each["answered"] + each["failed"] for each in reports.values())
    tokens = sum(each["input_tokens"] + each["output_tokens"] for each in reports.values())
    share = answers / tally.answers if tally.answers else 0.0
    per_second = 1 / seconds if seconds > 0 else 0.0
    return Summary(
        output=str(output),
        model=model,
        total_items=rows,
        total_responses=tally.answers,
        failed=tally.failed,
        truncated=tally.cut,
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        cost_usd=cost_usd,
        processing_time=round(seconds, 3),
        items_per_second=round(rows * share * per_second, 2),
        responses_per_second=round(answers * per_second, 2),
        tokens_per_second=round(tokens * per_second, 2),
        servers=servers_of(reports.values()),
        first_error=tally.error,
    )


def servers_of(reports: Iterable[Mapping[str, Any]]) -> tuple[ServerMetrics, ...]:
    """The metrics of each server, over all workers."""
    sums: dict[str, dict[str, Any]] = {}
    for report in reports:
        for said in report["servers"]:
            _merge(sums.setdefault(said["url"], {}), said)
    return tuple(_metrics(each) for each in sums.values())


def _merge(into: dict[str, Any], said: Mapping[str, Any]) -> None:
    known = into.setdefault("latencies", Latencies())
    known.merge(Latencies(said["latencies"]))
    into["url"] = said["url"]
    into["is_up"] = into.get("is_up", False) or said["is_up"]
    for name in ("answered", "failed", "input_tokens", "output_tokens"):
        into[name] = into.get(name, 0) + said[name]


def _metrics(said: Mapping[str, Any]) -> ServerMetrics:
    calls: Latencies = said["latencies"]
    p50, p95, p99 = (_rounded(calls.percentile(share)) for share in (0.5, 0.95, 0.99))
    return ServerMetrics(
        **{name: value for name, value in said.items() if name != "latencies"},
        p50_seconds=p50,
        p95_seconds=p95,
        p99_seconds=p99,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
