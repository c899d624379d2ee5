"""The golden set: what a person would put behind each field, and where quotes stand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).resolve().parents[4] / "benchmarks" / "citations.py"
GOAL = 0.98


@pytest.fixture(scope="module")
def golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("citations_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.mark.parametrize("part", ["development", "held_out"])
def test_the_mapper_finds_what_a_person_would_find(golden: ModuleType, part: str) -> None:
    counts, wrong = golden.measure(part)

    assert counts.precision >= GOAL, wrong
    assert counts.recall >= GOAL, wrong


@pytest.mark.parametrize("part", ["quotes", "quotes_held_out"])
def test_quotes_are_found_where_they_stand_and_nowhere_else(golden: ModuleType, part: str) -> None:
    counts, wrong = golden.measure_quotes(part)

    assert counts.precision >= GOAL, wrong
    assert counts.recall >= GOAL, wrong


def test_the_golden_set_is_large_and_every_case_has_its_own_name(golden: ModuleType) -> None:
    cases = [case for part in golden.PARTS for case in golden.cases(part)]
    quoted = [case for part in golden.QUOTE_PARTS for case in golden.cases(part)]

    assert len(cases) >= 300
    assert sum(len(case["quotes"]) for case in quoted) >= 300
    assert len({case["id"] for case in cases}) == len(cases)
