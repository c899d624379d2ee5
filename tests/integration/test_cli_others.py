"""The demo, the sandbox, the price list, the help, and what the process leaves with."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_lab import FAST, GPT, Cli, cli_in

from batchata.cli import main
from batchata.core.errors import StateError
from batchata.gateway import Scenario
from batchata.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from zygote import Zygote

COMMANDS = (
    "demo",
    "run",
    "estimate",
    "status",
    "results",
    "resume",
    "cancel",
    "sandbox",
    "models",
)
BATCHATA = (sys.executable, "-m", "batchata")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(cli: Cli, command: str) -> None:
    assert f"batchata {command}" in cli(command, "--help").out.partition("Example:")[2]


@pytest.mark.parametrize("command", [*COMMANDS, "generate", "merge-splits", "events", "report"])
def test_help_names_values_as_other_programs_do(cli: Cli, command: str) -> None:
    before, _, options = cli(command, "--help").out.partition("─ Options ─")
    usage = next(line for line in before.splitlines() if "Usage" in line)

    assert "{" not in usage
    assert not re.search(r"<\w+|list\[", options)


def test_help_fills_the_lines_of_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    said = [line.strip() for line in cli("status", "--help").out.splitlines()]

    assert "on. Leaves with 3 while jobs are unfinished or have failed." in said


def test_a_word_that_is_no_choice_is_told_with_the_choices(cli: Cli) -> None:
    said = " ".join(cli("generate", "--engine", "rays", code=2).err.replace("│", " ").split())

    assert "Invalid value for '--engine': 'rays' is not one of 'local', 'ray'." in said


def test_the_usage_of_generate_shows_no_hidden_argument(cli: Cli) -> None:
    usage = next(line for line in cli("generate", "--help").out.splitlines() if "Usage" in line)

    assert usage.split() == ["Usage:", "batchata", "generate", "[OPTIONS]"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("status", "reviews.csv"), "as --state ./state.db"),
        (("run", "reviews.csv", "-m", GPT, "-p", "a", "--limit-usd", "0"), "write --limit-usd 5"),
    ],
)
def test_what_to_do_about_an_error_is_said_in_flags(
    cli: Cli, args: tuple[str, ...], says: str
) -> None:
    Path("reviews.csv").write_text("text\ngood\n")

    assert says in cli(*args, code=1).err


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_the_version_is_told(cli: Cli, flag: str) -> None:
    assert cli(flag).out.startswith("batchata ")


def test_without_colours_an_error_is_plain(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_COLOR", "")  # is put back afterwards
    monkeypatch.setenv("FORCE_COLOR", "1")

    said = cli("--no-color", "status", str(tmp_path / "none.db"), code=1).err

    assert "\x1b" not in said


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom batchata.cli import main\n"
        "try: main(['run', '--help'])\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stderr.split())
    assert loaded & {"openai", "anthropic", "aiohttp", "genai_prices", "batchata.batch"} == set()


def test_models_shows_batch_prices_where_there_are_any(cli: Cli) -> None:
    found = cli("models", "--provider", "openai", "--search", GPT, "--json").json

    [luna] = [each for each in found if each["model"] == GPT]
    assert 0 < luna["batch_input"] < luna["input"]
    assert GPT in cli("models", "--search", GPT).out
    assert "no provider" in cli("models", "--provider", "nobody", code=1).err


def test_the_sandbox_lists_its_faults_and_refuses_others(cli: Cli) -> None:
    assert "refusal" in cli("sandbox", "--list-faults").out
    assert "no fault is called 'x'" in cli("sandbox", "--faults", "x", code=1).err


def test_a_port_that_is_taken_is_told_with_what_to_do(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = cli("sandbox", "--port", str(port), code=1).err

    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "choose another --port" in said


def test_the_sandbox_says_how_to_use_it_and_that_no_model_is_there() -> None:
    process = subprocess.Popen(
        [*BATCHATA, "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        said = ""
        while "ANTHROPIC_API_KEY" not in said:
            said += lines.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    assert "no model is behind it" in said
    assert "export OPENAI_BASE_URL=http://127.0.0.1:" in said


def test_ctrl_c_leaves_with_130_and_says_how_to_go_on(cli: Cli, zygote: Zygote) -> None:
    cli.box.set_scenario(Scenario(latency_seconds=60))
    args = ["run", cli.csv(), "-m", GPT, "-p", "{text}", "--results", "out", *FAST]
    with zygote.start(main, args) as process:
        process.wait_until(lambda: bool(cli.box.ledger.batches))
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        process.wait(60)

    assert process.returncode == 130
    assert b"batchata resume out/state.db" in said
    assert b"Traceback" not in said


def test_the_demo_counts_what_its_sandbox_bills_also_after_a_kill(cli: Cli, zygote: Zygote) -> None:
    args = ["demo", "--folder", "demo", "--latency", "0.5", "--poll-factor", "0.05", "--json"]
    with zygote.start(main, args) as process:
        process.wait_until(lambda: _in_flight() > 0)
        process.kill()

    report = cli(*args).json

    assert report["status"]["completed"] == 316
    assert report["billed_twice"] == 0
    assert report["counted_usd"] == report["billed_usd"] > 0
    assert sum(each["jobs"] for each in report["not_succeeded"]) == 4


def _in_flight() -> int:
    if not Path("demo/state.db").exists():
        return 0
    try:
        with closing(SQLiteStore(Path("demo/state.db"), read_only=True)) as store:
            return len(store.load().open_submissions())
    except StateError:
        return 0  # its tables are not there yet


def test_the_demo_leaves_a_folder_of_others_alone(cli: Cli) -> None:
    Path("mine").mkdir()
    cli.file("mine/letter.txt", "dear")

    said = cli("demo", "--folder", "mine", code=1)

    assert "--fresh" in said.err
    assert [path.name for path in Path("mine").iterdir()] == ["letter.txt"]
