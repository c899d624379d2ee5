"""Every key of the config changes what is sent, or how: none is without effect."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from generation_lab import GenerationLab, questions, said, server_of
from house_plan import ROOT

from batchata.core.errors import ValidationError
from batchata.gateway import HttpFault, Scenario
from batchata.generate import Config, make_config
from batchata.generate.checking import preview
from batchata.generate.loading import sections, to_yaml
from batchata.generate.shard_run import run_config

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
#: key → a value that is not the default; what it changes is seen without anything being sent
SEEN: dict[str, Any] = {
    "data.input_path": "other.parquet",
    "data.output_path": "other-out.parquet",
    "data.input_column": "group",
    "data.output_column": "answer",
    "data.prompt_template": "say {question}",
    "data.copy_columns": ["id"],
    "data.filter_condition": "id > 3",
    "data.limit": 3,
    "model.name": "gpt-4.1",
    "model.provider": "openai",
    "model.concurrency": 3,
    "model.prices": {"input": 1.0, "output": 2.0},
    "model.endpoint": "responses",
    "generation.num_samples": 2,
    "generation.temperature": 0.5,
    "generation.top_p": 0.5,
    "generation.top_k": 7,
    "generation.max_tokens": 9,
    "generation.stop_sequences": ["END"],
    "generation.seed": 4,
    "generation.presence_penalty": 0.5,
    "generation.frequency_penalty": 0.5,
    "generation.enable_thinking": False,
    "generation.system_prompt": "be brief",
    "generation.response_schema": SCHEMA,
    "generation.extra_body": {"min_p": 0.1},
    "processing.split_id": 2,
    "processing.num_splits": 3,
    "processing.rows_per_part": 5,
    "processing.online_saving": False,
    "processing.batch_size": 7,
    "processing.temp_dir": "elsewhere",
    "retry.max_retries": 8,
    "retry.retry_delay": 2.5,
    "retry.backoff_factor": 3.0,
}
#: keys whose effect has a test of its own in this directory
OWN_TESTS = {
    "model.url",
    "model.api_key",
    "model.headers",
    "data.shuffle",
    "data.shuffle_seed",
    "generation.one_request",
    "processing.cleanup_batches",
    "processing.workers",
    "processing.engine",
    "processing.limit_usd",
    "processing.rpm",
    "processing.tpm",
    "retry.timeout",
    "logging.level",
    "logging.file",
    "logging.format",
    "logging.rotation",
    "logging.retention",
}
KEYS = [f"{section}.{key}" for section, kind in sections() for key in kind.model_fields]


def test_no_key_is_without_a_test() -> None:
    assert set(KEYS) == SEEN.keys() | OWN_TESTS
    assert not SEEN.keys() & OWN_TESTS


def test_every_key_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/generate.md").read_text(encoding="utf-8")

    missing = [key for key in KEYS if f"`{key.partition('.')[2]}`" not in page]

    assert not missing


def effects(config: Config) -> dict[str, Any]:
    """What a config does, as far as it shows before anything is sent."""
    found = preview(config, counts_all=True).to_dict()
    return {**found, "run": repr(run_config(config, "m")), "work": str(config.work_dir)}


@pytest.mark.parametrize("key", SEEN)
def test_a_key_changes_a_request_or_the_plan(made: GenerationLab, key: str) -> None:
    section, _, name = key.partition(".")
    both = {"processing": {"split_id": 1, "num_splits": 2, "rows_per_part": 4}}
    base = made.values(**(both if name in ("split_id", "num_splits", "online_saving") else {}))
    value = SEEN[key]
    if name == "input_path":
        value = str(made.folder / value)
        (made.folder / "in.parquet").rename(value)
        GenerationLab(made.box, made.folder, questions(3)).values()

    changed = {**base, section: {**base.get(section, {}), name: value}}

    assert effects(make_config(base)) != effects(make_config(changed))


def test_key_and_headers_reach_the_server_and_no_file(made: GenerationLab) -> None:
    made.rows = questions(1)
    with server_of(lambda _: [said("hi")]) as server:
        secret = {"api_key": "sk-secret-1", "headers": {"X-Team": "secret-2"}}
        made.run(
            model={"url": f"{server.url}/v1", "name": "tiny", **secret},
            processing={"cleanup_batches": False},
            logging={"file": str(made.folder / "log.txt"), "level": "DEBUG"},
        )

    [headers] = server.headers
    assert headers["authorization"] == "Bearer sk-secret-1"
    assert headers["x-team"] == "secret-2"
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("part-") for path in files)  # not cleaned up
    assert not [path for path in files if b"secret" in path.read_bytes()]
    assert "secret" not in to_yaml(made.config(model=secret)) + repr(made.config(model=secret))


def test_the_work_is_removed_when_the_output_is_whole(made: GenerationLab) -> None:
    made.run()

    assert sorted(path.name for path in made.folder.iterdir()) == [
        "in.parquet",
        "out.parquet",
        "out.parquet.summary.json",
    ]


def test_a_limit_holds_and_a_higher_one_goes_on(made: GenerationLab) -> None:
    prices = {"prices": {"input": 1000.0, "output": 1000.0}}
    one = preview(made.config(model=prices), counts_all=True).cost_usd
    assert one is not None
    limit = float(one) * 1.5 / 20  # of one row and a half, at the most it may cost

    first = made.run(model=prices, processing={"limit_usd": limit})
    second = made.run(model=prices, processing={"limit_usd": limit * 20})

    assert 0 < first.failed < 20
    assert first.cost_usd <= limit
    assert "limit" in (first.first_error or "")
    assert second.failed == 0
    assert len(made.calls) == len(set(made.calls)) == 20


@pytest.mark.parametrize("rate", [{"rpm": 2_400}, {"tpm": 60_000}])
def test_rates_hold_calls_back(made: GenerationLab, rate: dict[str, int]) -> None:
    made.rows = questions(95)  # a burst is two seconds' worth, of 80 rows or so

    began = time.monotonic()
    made.run(processing=rate)

    assert time.monotonic() - began > 0.2


def test_a_call_that_takes_longer_than_the_timeout_fails(made: GenerationLab) -> None:
    made.rows = questions(1)
    slow = HttpFault(action="slow", route="openai.chat*", times=None, seconds=5)
    made.box.set_scenario(Scenario(http=(slow,)))

    summary = made.run(retry={"timeout": 0.05, "max_retries": 0})

    assert summary.failed == 1


@pytest.mark.parametrize(("retries", "failed"), [(0, 1), (1, 0)])
def test_a_failed_call_is_repeated_as_often_as_said(
    made: GenerationLab, retries: int, failed: int
) -> None:
    made.rows = questions(1)
    made.box.set_scenario(Scenario(http=(HttpFault(action="status", route="openai.chat*"),)))

    assert made.run(retry={"max_retries": retries}).failed == failed


def test_the_log_file_has_its_level_and_format(made: GenerationLab) -> None:
    path = made.folder / "logs" / "run.log"
    log = logging.getLogger("batchata.generate")
    from batchata.generate.log_file import logged

    style = "{level}|{message}|{time:YYYY}"
    config = made.config(logging={"file": str(path), "format": style, "level": "warning"})
    with logged(config.logging):
        log.info("not this")
        log.warning("this")

    assert path.read_text(encoding="utf-8").startswith("WARNING|this|20")
    assert "not this" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("key", ["rotation", "retention"])
def test_times_of_the_log_that_mean_nothing_are_refused(made: GenerationLab, key: str) -> None:
    log = {"file": str(made.folder / "x.log"), key: "now and then"}

    with pytest.raises(ValidationError, match=key):
        made.run(logging=log)
