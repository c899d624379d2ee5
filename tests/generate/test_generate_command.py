"""The commands of generations, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from generation_lab import MODEL, GenerationLab, questions, read, said, server_of, write
from typer.testing import CliRunner

from batchata.cli.app import app
from batchata.cli.generate import flags_of
from batchata.generate import Progress, ServerMetrics, load_config

FLAGS = """
    --input-column id --output-column a --prompt-template {id} --copy-columns id
    --filter-condition id>0 --limit 3 --shuffle --shuffle-seed 4 --model m --provider openai
    -m http://one -p 8001 --endpoint chat --concurrency 5 --num-samples 2 --one-request
    --temperature 0.3 --top-p 0.4 --top-k 6 --max-tokens 7 --stop-sequences A B --seed 8
    --presence-penalty 0.1 --frequency-penalty 0.2 --no-enable-thinking --system-prompt s
    --response-schema r.json --extra-body {"min_p":0.1} --split-id 1 --num-splits 3
    --workers 2 --rows-per-part 9 --limit-usd 1.5 --timeout 10 --max-retries 1
    --retry-delay 0.5 --log-level debug --log-file l.log --set retry.backoff_factor=4
"""


class Typed:
    """Commands in a folder with rows and a config."""

    def __init__(self, made: GenerationLab) -> None:
        self.made = made
        write(made.folder / "in.csv", questions(4))
        (made.folder / "config.yaml").write_text(
            "data:\n  input_path: in.csv\n  output_path: out.jsonl\n"
            f"model:\n  url: {made.box.url}\n  name: {MODEL}\n",
            encoding="utf-8",
        )

    def __call__(self, *args: str, code: int = 0, typed: str | None = None) -> tuple[str, str]:
        """Run a command; what it said on stdout and stderr."""
        done = CliRunner().invoke(app, list(args), input=typed, catch_exceptions=False)
        assert done.exit_code == code, f"{args}: {done.stdout} {done.stderr}"
        return done.stdout, done.stderr


@pytest.fixture
def cli(made: GenerationLab, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.chdir(made.folder)
    return Typed(made)


def test_a_config_is_the_whole_job_and_again_costs_nothing(cli: Typed) -> None:
    cli("generate", "-c", "config.yaml")
    _, again = cli("generate", "-c", "config.yaml")

    assert [row["id"] for row in read(Path("out.jsonl"))] == ["0", "1", "2", "3"]
    assert "done before, nothing was sent" in again
    assert len(cli.made.calls) == 4


def test_the_log_level_says_what_is_told(cli: Typed) -> None:
    cut = {"message": {"content": ""}, "finish_reason": "content_filter"}
    told = {}
    with server_of(lambda _: [cut]) as server:
        flags = ["-m", server.url, "--model", "tiny"]
        cli("generate", "-c", "config.yaml", *flags, code=3)
        for level in ("error", "info"):
            _, told[level] = cli(
                "generate", "-c", "config.yaml", *flags, "--log-level", level, code=3
            )

    assert "INFO | asking again what failed" in told["info"]
    assert "asking again what failed" not in told["error"]


def test_the_log_may_be_named_before_the_command(cli: Typed) -> None:
    cut = {"message": {"content": ""}, "finish_reason": "content_filter"}
    with server_of(lambda _: [cut]) as server:
        flags = ["generate", "-c", "config.yaml", "-m", server.url, "--model", "tiny"]
        cli(*flags, code=3)
        cli("--log-level", "info", "--log-file", "told.log", *flags, code=3)

    assert "INFO | asking again what failed" in Path("told.log").read_text()


def test_a_log_before_a_command_that_has_none_is_refused(cli: Typed) -> None:
    _, said = cli("--log-file", "told.log", "validate", "-c", "config.yaml", code=2)

    assert "validate has no log" in said


def test_flags_alone_are_enough(cli: Typed) -> None:
    port = cli.made.box.url.rpartition(":")[2]
    flags = ["-i", "in.csv", "-o", "x.parquet", "-p", port, "--model", MODEL, "-n", "2"]

    out, _ = cli("generate", *flags, "-t", "0.1", "-t", "0.9", "--limit", "2", "--json")

    summary = json.loads(out)
    assert (summary["total_items"], summary["total_responses"]) == (2, 4)
    assert summary["is_new"]
    assert [row["sample_idx"] for row in read(Path("x.parquet"))] == [0, 1, 0, 1]


def test_every_flag_reaches_the_config(cli: Typed) -> None:
    more = ["--dry-run", "--save-config", "s.yaml"]
    cli("generate", "-c", "config.yaml", *FLAGS.split(), *more, code=1)

    found = load_config("s.yaml", environment={})  # it was written before r.json was missed
    assert found.data.model_dump(exclude={"input_path", "output_path"}) == {
        "input_column": "id",
        "output_column": "a",
        "prompt_template": "{id}",
        "copy_columns": ["id"],
        "filter_condition": "id>0",
        "limit": 3,
        "shuffle": True,
        "shuffle_seed": 4,
    }
    assert found.model.url == ["http://one/v1", "http://localhost:8001/v1"]
    assert (found.model.name, found.model.provider, found.model.concurrency) == ("m", "openai", 5)
    generation = found.generation.model_dump(exclude_defaults=True)
    assert generation == {
        "num_samples": 2,
        "one_request": True,
        "temperature": 0.3,
        "top_p": 0.4,
        "top_k": 6,
        "max_tokens": 7,
        "stop_sequences": ["A", "B"],
        "seed": 8,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "enable_thinking": False,
        "system_prompt": "s",
        "response_schema": Path("r.json"),
        "extra_body": {"min_p": 0.1},
    }
    work, retry = found.processing, found.retry
    assert (work.split, work.workers, work.rows_per_part, work.limit_usd) == ((1, 3), 2, 9, 1.5)
    assert (retry.timeout, retry.max_retries, retry.retry_delay) == (10, 1, 0.5)
    assert retry.backoff_factor == 4
    assert (found.logging.level, found.logging.file) == ("DEBUG", Path("l.log"))


def test_a_dry_run_shows_the_first_request_and_touches_nothing(cli: Typed) -> None:
    before = sorted(Path().iterdir())

    out, _ = cli("generate", "-c", "config.yaml", "--dry-run", "--max-tokens", "9")
    as_json, _ = cli("estimate", "-c", "config.yaml", "--json")

    assert "4 rows, 4 requests" in out
    assert '"max_tokens": 9' in out
    assert json.loads(as_json)["output_tokens"] == 4 * 512
    assert sorted(Path().iterdir()) == before
    assert not cli.made.box.requests


def test_validate_looks_at_everything_and_asks_one_row(cli: Typed) -> None:
    _, said = cli("validate", "-c", "config.yaml")

    assert "4 rows, 4 requests" in said
    assert f"has {MODEL}" in said
    assert "one row: answered" in said
    assert len(cli.made.calls) == 1
    assert not Path("out.jsonl").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("data.input_column=nothing", "no column 'nothing'"),
        ("data.output_path=gone/out.csv", "does not exist"),
        ("model.name=gpt-nine", "does not have the model gpt-nine"),
        ("model.url=http://127.0.0.1:9", "cannot be"),
        ("data.filter_condition=id > 99", "no row fits"),
    ],
)
def test_validate_names_what_is_wrong(cli: Typed, changed: str, said: str) -> None:
    _, told = cli("validate", "-c", "config.yaml", "--set", changed, code=1)

    assert said in told


def test_list_models_needs_an_address_alone(cli: Typed) -> None:
    out, _ = cli("list-models", "-m", cli.made.box.url)
    as_json, _ = cli("list-models", "-c", "config.yaml", "--json")

    assert MODEL in out.splitlines()
    assert MODEL in json.loads(as_json)[f"{cli.made.box.url}/v1"]


def test_splits_are_merged(cli: Typed) -> None:
    for number in ("1", "2"):
        cli("generate", "-c", "config.yaml", "--split-id", number, "--num-splits", "2")

    _, planned = cli("merge-splits", "out.jsonl", "2", "--dry-run")
    cli("merge-splits", "out.jsonl", "2")
    _, refused = cli("merge-splits", "out.jsonl", "2", code=1)
    cli("merge-splits", "out.jsonl", "2", "--yes")

    assert "would make 4 rows" in planned
    assert "--yes" in refused
    assert [row["id"] for row in read(Path("out.jsonl"))] == ["0", "1", "2", "3"]


def test_a_changed_config_is_refused_or_asked_about(
    cli: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from batchata.cli import generate

    cli("generate", "-c", "config.yaml")

    _, said = cli("generate", "-c", "config.yaml", "--seed", "1", code=1)
    monkeypatch.setattr(generate, "is_person_there", lambda: True)
    _, asked = cli("generate", "-c", "config.yaml", "--seed", "1", typed="y\n")

    assert "--fresh" in said
    assert "generation.seed was None and is 1" in asked
    assert len(Path("out.jsonl.1").read_text(encoding="utf-8").splitlines()) == 4
    assert len(cli.made.calls) == 8


def test_rows_that_failed_are_told_in_the_exit_code(cli: Typed) -> None:
    cut = {"message": {"content": ""}, "finish_reason": "content_filter"}
    with server_of(lambda body: [cut if "2" in str(body["messages"]) else said("ok")]) as server:
        _, told = cli("generate", "-c", "config.yaml", "-m", server.url, "--model", "tiny", code=3)

    assert "3 of 4 answers" in told
    assert "1 failed" in told


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["-c", "config.yaml", "--set", "x"], 1, "SECTION.KEY=VALUE"),
        (["-c", "config.yaml", "--extra-body", "{"], 1, "--extra-body cannot be read"),
        (["-c", "config.yaml", "stray"], 2, "stray"),
        (["-i", "in.csv"], 1, "does not set data.output_path"),
        ([], 1, "does not set data hint: give --config FILE, or --input"),
        (["-c", "none.yaml"], 2, "does not exist"),
    ],
)
def test_wrong_usage_says_what_is_wrong(cli: Typed, args: list[str], code: int, said: str) -> None:
    _, told = cli("generate", *args, code=code)

    assert said in " ".join(told.split())


def test_parameters_have_the_names_of_keys() -> None:
    given = {"top_p": 0.5, "seed": None, "copy_columns": (), "url": ["http://x"]}

    assert flags_of(given) == {("generation", "top_p"): 0.5, ("model", "url"): ["http://x"]}


def test_progress_tells_rate_tokens_and_each_server() -> None:
    from io import StringIO

    from rich.console import Console

    from batchata.cli.generate_display import _line, _picture

    servers = tuple(
        ServerMetrics(
            url=url,
            answered=50,
            failed=2,
            input_tokens=10,
            output_tokens=10,
            is_up=is_up,
            p50_seconds=0.25,
            p95_seconds=0.5,
            p99_seconds=0.75,
        )
        for url, is_up in (("http://one", True), ("http://two", False))
    )
    progress = Progress(
        rows=200,
        answers_wanted=200,
        answers=100,
        failed=4,
        in_flight=8,
        input_tokens=1000,
        output_tokens=3000,
        seconds=2.0,
        answers_now=100,
        workers=2,
        servers=servers,
    )
    text = StringIO()
    Console(file=text, width=200).print(_picture([progress]))

    line = _line(progress)
    assert "50 %, 100 of 200 answers, 4 failed, 50/s, 2.0k tokens/s, 8 in flight" in line
    assert "2 workers" in line
    assert "about 5 s left" in line
    assert [line.strip()[:4] for line in text.getvalue().splitlines()][1] == "50 %"
    assert "http://two: 50 answers, 2 failed, 0.25 s each" in text.getvalue()
    assert "down" in text.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        ["merge-splits", "out.jsonl", "2"],
        [
            "generate",
            "-i",
            "in.csv",
            "-o",
            "a.csv",
            "-m",
            "http://one",
            "--prompt-template",
            "{id}",
        ],
    ],
)
def test_without_its_extra_it_says_what_to_install(words: list[str]) -> None:
    code = (
        f"import sys; sys.modules['pyarrow'] = None; from batchata.cli import main; main({words})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "needs pyarrow, which is not installed" in done.stderr
    assert "pip install 'batchata[generate]'" in done.stderr
    assert "Traceback" not in done.stderr
