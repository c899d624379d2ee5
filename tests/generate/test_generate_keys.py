"""Every key of the config changes what is sent, or how: none is without effect."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from generation_lab import GenerationLab, questions, said, server_of
from house_plan import ROOT

from batchata.core.errors import ConfigChangedError, UnknownPriceError, ValidationError
from batchata.gateway import HttpFault, Scenario
from batchata.generate import Config, load_config, make_config
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


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("generation:\n  max_tokenz: 3", "no key generation.max_tokenz", "generation.max_tokens"),
        ("generatoin:\n  seed: 3", "no section 'generatoin'", "generation"),
        ("model:\n  temperature: 3", "no key model.temperature", "generation.temperature"),
        ("data: in.parquet", "'data' is no section", "below `data:`"),
        ("generation:\n  top_p: 3", "generation.top_p is 3", "--help"),
        ("generation:\n  temperature: [1, 2]", "2 values for 1 samples", "--help"),
        ("processing:\n  split_id: 3", "split_id and num_splits", "--help"),
        ("processing:\n  split_id: 3\n  num_splits: 2", "3 of 2", "--help"),
        ("model:\n  url: localhost", "no http address", "--help"),
        ("model:\n  provider: nobody", "'nobody' is not known", "--help"),
        ("- 1", "has no sections", "data:"),
        ("a: [", "is no YAML", ""),
    ],
)
def test_a_config_that_cannot_be_used_says_what_to_write(
    tmp_path: Path, text: str, said: str, hint: str
) -> None:
    path = tmp_path / "config.yaml"
    data = "" if text.startswith(("data", "-", "a:")) else "data:\n  input_path: a.csv\n"
    data = data and f"{data}  output_path: b.csv\n"
    model = "" if "model" in text or not data else "model:\n  url: http://localhost\n"
    path.write_text(data + model + text, encoding="utf-8")

    with pytest.raises(ValidationError) as caught:
        load_config(path, environment={})

    assert said in caught.value.message
    assert hint in (caught.value.hint or "")


def test_flags_win_over_file_over_environment_over_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = "data: {input_path: a.csv, output_path: b.csv}\ngeneration: {seed: 1, top_k: 2}\n"
    path.write_text(text, encoding="utf-8")
    environment = {
        "BATCHATA_GENERATION_SEED": "8",
        "BATCHATA_GENERATION_TOP_K": "8",
        "BATCHATA_GENERATION_MAX_TOKENS": "8",
        "BATCHATA_MODEL_URL": "http://one",
        "OPENAI_BASE_URL": "http://two",
        "OPENAI_API_KEY": "sk-of-two",
    }

    config = load_config(path, {("generation", "seed"): 0}, environment)

    found = config.generation
    assert (found.seed, found.top_k, found.max_tokens, found.top_p) == (0, 2, 8, 1.0)
    assert config.model.url == ["http://one/v1"]
    assert config.model.api_key is None  # it belongs to another server


def test_the_address_that_other_tools_know_brings_its_key(tmp_path: Path) -> None:
    data = {("data", "input_path"): "a.csv", ("data", "output_path"): "b.csv"}
    environment = {"OPENAI_BASE_URL": "http://two/v1", "OPENAI_API_KEY": "sk-of-two"}

    config = load_config(None, data, environment)

    assert (config.model.url, config.model.api_key) == (["http://two/v1"], "sk-of-two")


def test_an_address_that_is_said_twice_is_one_server(made: GenerationLab) -> None:
    config = made.config(model={"url": ["http://one", "http://one/v1/", "http://two"]})

    assert config.model.url == ["http://one/v1", "http://two/v1"]


def test_a_saved_config_is_the_same_config(made: GenerationLab) -> None:
    config = made.config(
        generation={"temperature": [0.1, 0.2], "num_samples": 2, "response_schema": SCHEMA},
        model={"url": ["http://one", "http://two/v1/"]},
    )
    path = made.folder / "saved.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")

    assert load_config(path, environment={}) == config


OLD = """\
data:
  input_path: "data/questions.parquet"
  output_path: "output/responses.parquet"
  input_column: "question"
  output_column: "response"
  copy_columns: ["id", "difficulty"]
  filter_condition: null
  limit: null
  shuffle: false
model:
  url: "http://localhost:8000"
  api_key: "EMPTY"
  headers: {}
generation:
  num_samples: 8
  temperature: 1.0
  top_p: 1.0
  top_k: -1
  max_tokens: 32768
  stop_sequences: null
  seed: null
  presence_penalty: 0.0
  frequency_penalty: 0.0
processing:
  split_id: null
  num_splits: null
  online_saving: true
  batch_size: 1
  temp_dir: "temp"
  cleanup_batches: true
retry:
  max_retries: 3
  retry_delay: 1.0
  backoff_factor: 2.0
  timeout: 300
logging:
  level: INFO
  file: "logs/generation.log"
  format: "{time:YYYY-MM-DD HH:mm:ss} | <level>{level}</level> | {message}"
  rotation: "1 day"
  retention: "7 days"
enable_thinking: true
"""


def test_configs_of_the_earlier_tool_load_and_its_misplaced_key_works(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD, encoding="utf-8")

    config = load_config(path, environment={})

    assert config.model.url == ["http://localhost:8000/v1"]
    assert config.generation.enable_thinking is True
    assert config.generation.num_samples == 8
    assert config.output_path == Path("output/responses.parquet")


def test_a_vendor_without_a_known_price_is_an_error_before_anything_is_sent(
    made: GenerationLab,
) -> None:
    with pytest.raises(UnknownPriceError) as caught:
        made.run(model={"provider": "together", "name": "gpt-4.1-mini", "api_key": "k"})

    assert "below model:" in (caught.value.hint or "")
    assert not made.calls


def test_the_same_output_with_another_config_or_input_is_refused(made: GenerationLab) -> None:
    made.run()

    with pytest.raises(ConfigChangedError, match=r"generation\.seed was None and is 3"):
        made.run(generation={"seed": 3})
    made.rows = questions(21)
    (made.folder / "in.parquet").unlink()
    with pytest.raises(ConfigChangedError, match="the input file has changed"):
        made.run()

    assert made.run(fresh=True).total_items == 21
    kept = pyarrow.parquet.read_metadata(made.folder / "out.parquet.1")
    assert kept.num_rows == 20
