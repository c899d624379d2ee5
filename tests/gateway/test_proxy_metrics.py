"""What Prometheus is told is what it can read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from exchange_lab import an_exchange

from batchata.core.usage import Usage
from batchata.gateway.proxy.exchange import Answered
from batchata.gateway.proxy.telemetry.metrics import Metrics

ODD = 'a "name"\\with\neverything'
SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+)'
)


def counted(*answers: Answered, model: str = "m") -> Metrics:
    metrics = Metrics()
    for answered in answers:
        metrics.count(an_exchange(model=model), answered)
    return metrics


def families(text: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Name, kind and samples of each family; a line that is none of its family fails."""
    assert text.endswith("\n")
    for part in re.split(r"^# HELP ", text, flags=re.M)[1:]:
        said, kind, *lines = part.splitlines()
        name = said.split()[0]
        assert len(said.split()) > 1
        assert kind.split()[:3] == ["#", "TYPE", name]
        samples = {}
        for line in lines:
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1].removeprefix(name) in ("", "_bucket", "_sum", "_count")
            samples[line.rpartition(" ")[0]] = float(found[3])
        yield name, kind.split()[3], samples


def test_every_line_can_be_read_whatever_clients_and_interceptors_are_called() -> None:
    metrics = counted(Answered(status=200, usage=Usage(1, 2)), model=ODD)

    found = list(families(metrics.text(raised=1, gauges={"my-own.thing": 2.5})))

    names = [name for name, _, _ in found]
    assert len(set(names)) == len(names)
    assert "batchata_gateway_my_own_thing" in names
    assert all(name.endswith("_total") is (kind == "counter") for name, kind, _ in found)


def test_each_of_several_interceptors_of_a_name_has_its_own_numbers() -> None:
    text = counted().text(raised=0, gauges={"budget_spent_usd": [1.5, 2], "cache_hits": [7]})

    found = {name: samples for name, _, samples in families(text)}
    assert found["batchata_gateway_cache_hits"] == {"batchata_gateway_cache_hits": 7}
    assert found["batchata_gateway_budget_spent_usd"] == {
        'batchata_gateway_budget_spent_usd{interceptor="1"}': 1.5,
        'batchata_gateway_budget_spent_usd{interceptor="2"}': 2,
    }


def test_a_key_that_is_given_as_model_and_a_very_long_name_are_no_labels() -> None:
    metrics = counted(Answered(status=200, usage=Usage(1, 2)), model="sk-proj-0123456789abcdefghij")
    metrics.count(an_exchange(model="m" * 9_000), Answered(status=200, usage=Usage(1, 2)))

    text = metrics.text(raised=0, gauges={})

    assert "0123456789" not in text
    assert 'model="[redacted]"' in text
    assert f'model="{"m" * 200}"' in text


def test_durations_are_a_histogram() -> None:
    metrics = counted(*(Answered(status=200, seconds=each) for each in (0.05, 0.2, 400.0)))

    text = metrics.text(raised=0, gauges={})

    [samples] = [rows for name, _, rows in families(text) if name.endswith("_request_seconds")]
    classes = [count for name, count in samples.items() if "_bucket" in name]
    assert classes == sorted(classes)
    assert (classes[0], classes[-2:]) == (1, [2, 3])
    assert samples["batchata_gateway_request_seconds_count"] == 3
    assert samples["batchata_gateway_request_seconds_sum"] == 400.25


def test_all_kinds_of_tokens_and_their_cost_are_told() -> None:
    usage = Usage(10, 20, cache_read_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    answered = Answered(status=200, usage=usage, cost_usd=Decimal("0.00002"))

    text = counted(answered, answered).text(raised=0, gauges={})

    for kind, count in (("input", 20), ("cache_write", 8), ("reasoning", 10)):
        assert f'tokens_total{{upstream="up",model="m",kind="{kind}"}} {count}\n' in text
    assert 'cost_usd_total{upstream="up",model="m"} 4e-05\n' in text
