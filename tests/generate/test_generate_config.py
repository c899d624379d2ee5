"""The config of a generation: where it comes from, and what is said of mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest
from generation_lab import GenerationLab, questions

from batchata.core.errors import ConfigChangedError, UnknownPriceError, ValidationError
from batchata.generate import load_config
from batchata.generate.loading import to_yaml


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("generation:\n  max_tokenz: 3", "no key generation.max_tokenz", "generation.max_tokens"),
        ("generatoin:\n  seed: 3", "no section 'generatoin'", "generation"),
        ("model:\n  temperature: 3", "no key model.temperature", "generation.temperature"),
        ("data: in.parquet", "'data' is not a section", "below `data:`"),
        ("generation:\n  top_p: 3", "generation.top_p is 3", "--help"),
        ("generation:\n  temperature: [1, 2]", "2 values for 1 samples", "--help"),
        ("processing:\n  split_id: 3", "split_id and num_splits", "--help"),
        ("processing:\n  split_id: 3\n  num_splits: 2", "3 of 2", "--help"),
        ("model:\n  url: localhost", "not an http address", "--help"),
        ("model:\n  provider: nobody", "'nobody' is not known", "--help"),
        ("- 1", "not sections with keys", "data:"),
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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("generation:\n  seed: 1\n  max_tokenz: 3", 6),
        ("generatoin: {}", 4),
        ("generation:\n  top_p: 3", 5),
        ("generation:\n  temperature:\n    - 1\n    - warm", 7),
        ("model:\n  prices: {input: dear}", 5),
    ],
)
def test_a_mistake_in_a_config_is_told_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"data:\n  input_path: a.csv\n  output_path: b.csv\n{text}", encoding="utf-8")
    url = {("model", "url"): "http://localhost"}

    with pytest.raises(ValidationError, match=rf"config\.yaml line {line}: "):
        load_config(path, url, environment={})


def test_a_mistake_in_a_flag_is_not_put_down_to_a_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = "data: {input_path: a.csv, output_path: b.csv}\ngeneration: {top_p: 1}\n"
    path.write_text(text, encoding="utf-8")
    flags = {("generation", "top_p"): 3, ("model", "url"): "http://localhost"}

    with pytest.raises(ValidationError, match=r"^generation\.top_p is 3; write at most 1"):
        load_config(path, flags, environment={})


def test_variables_are_filled_in_below_model_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (
        "data: {input_path: a.csv, output_path: b.csv, prompt_template: 'It costs ${price}'}\n"
        "model: {url: 'http://${HOST}', api_key: '${KEY:-none}', headers: {X: '${HOST}'}}\n"
    )
    path.write_text(text, encoding="utf-8")

    config = load_config(path, environment={"HOST": "gpu"})

    assert config.data.prompt_template == "It costs ${price}"
    assert config.model.url == ["http://gpu/v1"]
    assert (config.model.api_key, config.model.headers) == ("none", {"X": "gpu"})
    with pytest.raises(ValidationError, match=r"model\.url asks for \$\{HOST\}"):
        load_config(path, environment={})


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
        generation={
            "temperature": [0.1, 0.2],
            "num_samples": 2,
            "response_schema": {"type": "object"},
        },
        model={"url": ["http://one", "http://two/v1/"], "name": "a$$b"},
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
