"""The page of the gateway's configuration says what the code reads, and the sample has it all."""

from __future__ import annotations

import inspect
import re

import config_reference
from config_reference import comments, sections

from batchata.gateway.proxy.config.registry import OWN, interceptor_class
from batchata.gateway.proxy.config.sample import SAMPLE
from batchata.gateway.proxy.telemetry import emitter, metrics


def test_the_page_is_what_the_code_makes_of_it() -> None:
    written = config_reference.PAGE.read_text(encoding="utf-8")

    assert written == config_reference.page(), "run python tests/docs/config_reference.py"


def test_the_sample_has_every_key_and_every_interceptor() -> None:
    unsaid = {"name", "provider", "enabled"}  # they follow from others, or are as one expects
    keys = {key for kind in sections() for key in kind.model_fields}

    assert [key for key in sorted(keys - unsaid) if f"{key}:" not in SAMPLE] == []
    assert [name for name in OWN if f"type: {name}" not in SAMPLE] == ["test_recorder"]


def test_every_option_that_does_not_say_it_by_its_name_is_explained() -> None:
    plain = {"directory", "filename", "file", "timeout_seconds", "requests_per_minute"}
    unsaid = {
        option
        for kind in map(interceptor_class, OWN)
        for option, said in comments(kind).items()
        if option in kind.options and not said
    }

    assert {each for each in unsaid - plain if not each.startswith(("show_", "include_"))} == set()


def test_the_reference_has_every_event_attribute_and_metric() -> None:
    said = (config_reference.PAGE.parent / "gateway.md").read_text(encoding="utf-8")
    attributes = re.findall(r'"((?:\w+\.)+\w+)"', inspect.getsource(emitter))
    counted = re.findall(r'(?:_section\(|^    )"(\w+)"[,:] ', inspect.getsource(metrics), re.M)

    assert len(set(attributes)) > 30
    assert len(set(counted)) > 14
    assert [name for name in {*attributes, *counted} if f"`{name}`" not in said] == []
