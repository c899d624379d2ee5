"""Faults by name: `--faults a,b` and `with_faults(scenario, "a,b")`; `FAULTS` lists them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import Any, Final

import orjson

from batchata.gateway.sandbox.scenario import Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFault:
    """A fault with a name: what it is, and what it adds to a scenario."""

    name: str
    description: str
    scenario: Scenario


def with_faults(scenario: Scenario, names: str) -> Scenario:
    """Add named faults to a scenario; an unknown name raises ValueError with all names."""
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in FAULTS:
            raise ValueError(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
        scenario = _merged(scenario, FAULTS[name].scenario)
    return scenario


def _merged(base: Scenario, extra: Scenario) -> Scenario:
    plain = Scenario()
    changes: dict[str, Any] = {}
    for field in fields(Scenario):
        value = getattr(extra, field.name)
        if value == getattr(plain, field.name):
            continue
        is_list = field.name in ("http", "items", "batches")
        changes[field.name] = (*getattr(base, field.name), *value) if is_list else value
    return replace(base, **changes)


def _read() -> dict[str, NamedFault]:
    raw = orjson.loads(files("batchata.gateway.sandbox").joinpath("named_faults.json").read_bytes())
    return {
        name: NamedFault(
            name=name,
            description=entry["description"],
            scenario=Scenario.from_json(orjson.dumps(entry["scenario"])),
        )
        for name, entry in raw.items()
    }


FAULTS: Final[Mapping[str, NamedFault]] = _read()
