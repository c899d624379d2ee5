"""Counts for Prometheus, in its text format."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from operator import itemgetter
from typing import Final

from batchata.core.redact import Redactor
from batchata.core.usage import Usage
from batchata.gateway.proxy.exchange import Answered, Exchange

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_MODELS: Final = 1000
_MOST_NAME: Final = 200  #: characters of a name that a client made up
_REDACTOR: Final = Redactor()
_PREFIX: Final = "batchata_gateway_"
_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")
#: upper bounds of the histogram's buckets (s)
_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_TOKENS: Final = "Tokens by kind; input includes cached ones, output those of reasoning."
_REQUESTS: Final = "How long requests took."
_FIRST_BYTES: Final = "How long the first byte of an answer took."
_RAISED: Final = "How often an interceptor raised."
_GAUGES: Final = {
    "in_flight": "Requests that have not ended.",
    "events_waiting": "Events that their observers have not got yet.",
    "batches_open": "Batches that have not ended.",
    "batches_running": "Batches that are running.",
    "held_gathering": "Held calls that wait for their batch to be sent.",
    "held_in_batches": "Held calls that a batch has not answered yet.",
    "held_ready": "Answers of held calls that no client has taken yet.",
    "budget_spent_usd": "What is spent of the limit.",
    "budget_uncertain_usd": "What calls of unknown usage may have cost.",
    "budget_reserved_usd": "What is set aside for calls in flight.",
}
_KINDS: Final = ("cache_read", "cache_write", "input", "output", "reasoning")
_KEY: Final = itemgetter(0)
Row = tuple[str, object]
Gauges = dict[str, float | list[float]]


class _Durations:
    """Durations, counted in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def count(self, seconds: float) -> None:
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds

    def rows(self) -> Iterable[Row]:
        """The buckets, each with all shorter durations, as a histogram has them."""
        bounds = [*map(str, _BOUNDS), "+Inf"]
        sums = [*accumulate(self._counts)]
        for bound, number in zip(bounds, sums, strict=True):
            yield "_bucket" + _labels(le=bound), number
        yield "_sum", round(self._seconds, 6)
        yield "_count", sums[-1]


class _Sums:
    """What the answers of one model have used and cost."""

    def __init__(self) -> None:
        self.cache_read = self.cache_write = self.input = self.output = self.reasoning = 0
        self.cost_usd: Decimal | None = None

    def add(self, usage: Usage) -> None:
        self.cache_read += usage.cache_read_tokens
        self.cache_write += usage.cache_write_tokens
        self.input += usage.input_tokens
        self.output += usage.output_tokens
        self.reasoning += usage.reasoning_tokens


class Metrics:
    """What the gateway has done since it started."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: dict[tuple[str, int, str], int] = {}
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._models: dict[str, str] = {}
        self._durations, self._first_bytes = _Durations(), _Durations()

    def count(self, exchange: Exchange, answered: Answered) -> None:
        """Count an exchange that has ended."""
        upstream = exchange.upstream.name
        end = (upstream, answered.status, answered.ending)
        self._requests[end] = self._requests.get(end, 0) + 1
        self._durations.count(answered.seconds)
        if answered.first_byte_seconds is not None:
            self._first_bytes.count(answered.first_byte_seconds)
        usage, cost = answered.usage, answered.cost_usd
        if usage is None and cost is None:
            return
        model = (upstream, self._known(exchange.model or "none"))
        sums = self._sums.get(model)
        if sums is None:
            sums = self._sums[model] = _Sums()
        if usage is not None:
            sums.add(usage)
        if cost is not None:
            sums.cost_usd = cost if sums.cost_usd is None else sums.cost_usd + cost

    def _known(self, model: str) -> str:
        """The name, or "other" when clients have made up too many."""
        found = self._models.get(model)
        if found is None and len(self._models) < _MOST_MODELS:
            found = _REDACTOR.json(model.encode("utf-8", "replace")).decode()[:_MOST_NAME]
            self._models[model] = found
        return found or "other"

    def text(self, *, raised: int, gauges: Gauges) -> str:
        """All metrics, with how often interceptors raised, and the gauges of others."""
        known: Gauges = {"in_flight": self.in_flight, **gauges}
        return "".join(
            (
                _section("requests_total", "counter", "Requests that have ended.", self._ended()),
                _section("tokens_total", "counter", _TOKENS, self._used()),
                _section("cost_usd_total", "counter", "What answers cost.", self._paid()),
                _section("request_seconds", "histogram", _REQUESTS, self._durations.rows()),
                _section("first_byte_seconds", "histogram", _FIRST_BYTES, self._first_bytes.rows()),
                _section("interceptor_failures_total", "counter", _RAISED, [("", raised)]),
                *(
                    _section(name, "gauge", _GAUGES.get(name, "Of interceptors."), _said(value))
                    for name, value in known.items()
                ),
            )
        )

    def _ended(self) -> Iterable[Row]:
        for (upstream, status, ending), count in sorted(self._requests.items()):
            yield _labels(upstream=upstream, status=str(status), ending=ending), count

    def _used(self) -> Iterable[Row]:
        for (upstream, model), sums in sorted(self._sums.items(), key=_KEY):
            for kind in _KINDS:
                if count := getattr(sums, kind):
                    yield _labels(upstream=upstream, model=model, kind=kind), count

    def _paid(self) -> Iterable[Row]:
        for (upstream, model), sums in sorted(self._sums.items(), key=_KEY):
            if sums.cost_usd is not None:
                yield _labels(upstream=upstream, model=model), float(sums.cost_usd)


def _said(value: float | Sequence[float]) -> Iterable[Row]:
    """One number, or one for each of several interceptors with the same name, by order."""
    if not isinstance(value, Sequence):
        return [("", value)]
    several = len(value) > 1
    return [
        (_labels(interceptor=str(place)) if several else "", each)
        for place, each in enumerate(value, 1)
    ]


def _section(name: str, kind: str, said: str, rows: Iterable[Row]) -> str:
    full = _PREFIX + _NO_NAME.sub("_", name)
    lines = [f"# HELP {full} {said}", f"# TYPE {full} {kind}"]
    lines.extend(f"{full}{rest} {value}" for rest, value in rows)
    return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in values.items()) + "}"
