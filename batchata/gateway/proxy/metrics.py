"""Counts for Prometheus, in its text format."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Final

from batchata.gateway.proxy.exchange import Answered, Exchange

_MOST_MODELS: Final = 1000
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What the gateway has done since it started."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int, str]] = Counter()
        self._tokens: Counter[tuple[str, str, str]] = Counter()
        self._cost: dict[tuple[str, str], Decimal] = {}
        self._models: set[str] = set()
        self._seconds = 0.0
        self._ended = 0

    def count(self, exchange: Exchange, answered: Answered) -> None:
        """Count an exchange that has ended."""
        upstream = exchange.upstream.name
        self._requests[upstream, answered.status, answered.ending] += 1
        self._seconds += answered.seconds
        self._ended += 1
        model = self._known(exchange.model or "none")
        if answered.usage is not None:
            self._tokens[upstream, model, "input"] += answered.usage.input_tokens
            self._tokens[upstream, model, "output"] += answered.usage.output_tokens
            self._tokens[upstream, model, "cache_read"] += answered.usage.cache_read_tokens
        if answered.cost_usd is not None:
            key = (upstream, model)
            self._cost[key] = self._cost.get(key, Decimal(0)) + answered.cost_usd

    def _known(self, model: str) -> str:
        """The name, or "other" when clients have made up too many."""
        if len(self._models) < _MOST_MODELS:
            self._models.add(model)
        return model if model in self._models else "other"

    def text(self, **gauges: float) -> str:
        """Everything, with gauges that others know."""
        lines: list[str] = []

        def section(name: str, kind: str, rows: list[tuple[str, object]]) -> None:
            lines.append(f"# TYPE batchata_gateway_{name} {kind}")
            lines.extend(f"batchata_gateway_{name}{labels} {value}" for labels, value in rows)

        section(
            "requests_total",
            "counter",
            [
                (_labels(upstream=upstream, status=str(status), ending=ending), count)
                for (upstream, status, ending), count in sorted(self._requests.items())
            ],
        )
        section(
            "tokens_total",
            "counter",
            [
                (_labels(upstream=upstream, model=model, kind=kind), count)
                for (upstream, model, kind), count in sorted(self._tokens.items())
            ],
        )
        section(
            "cost_usd_total",
            "counter",
            [
                (_labels(upstream=upstream, model=model), float(cost))
                for (upstream, model), cost in sorted(self._cost.items())
            ],
        )
        section("request_seconds_sum", "counter", [("", round(self._seconds, 6))])
        section("request_seconds_count", "counter", [("", self._ended)])
        section("in_flight", "gauge", [("", self.in_flight)])
        for name, value in gauges.items():
            section(name, "gauge", [("", value)])
        return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    def quoted(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in values.items()) + "}"
