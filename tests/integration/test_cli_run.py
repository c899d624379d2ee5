"""`batchata run` and `batchata estimate`: rows in, answers out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import FAST, GPT, Cli, cli_in

from batchata.gateway import ItemFault, Scenario


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        yield made


def test_every_row_gets_an_answer_in_the_results_folder(cli: Cli) -> None:
    said = cli.run()

    answers = [json.loads(path.read_bytes()) for path in Path("rows-results").glob("job-*.json")]
    assert len(answers) == 5
    assert all("Scripted sandbox answer" in each["raw_response"] for each in answers)
    assert "succeeded" in said.out


def test_columns_that_are_not_asked_are_kept_as_metadata(cli: Cli) -> None:
    cli.run()

    rows = cli("results", "rows-results", "--format", "jsonl").out.splitlines()
    kept = [json.loads(row)["metadata"] for row in rows]
    assert kept[:2] == [{"key": "r0", "group": "0"}, {"key": "r1", "group": "1"}]


def test_the_same_command_again_sends_nothing(cli: Cli) -> None:
    cli.run()
    sent = cli.box.ledger.billed_items

    cli.run()

    assert cli.box.ledger.billed_items == sent == 5


def test_json_reports_the_status_for_programs(cli: Cli) -> None:
    report = cli.run("--json").json

    assert report["status"]["completed"] == report["jobs"] == 5
    assert report["state_file"] == "rows-results/state.db"


def test_ids_and_a_schema_of_ones_own(cli: Cli) -> None:
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}}
    cli.file("mood.json", json.dumps(schema))

    cli.run("--schema", "mood.json", "--id-column", "key", "--result-format", "jsonl")

    [file] = Path("rows-results").glob("*.jsonl")
    rows = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert sorted(row["job_id"] for row in rows) == ["r0", "r1", "r2", "r3", "r4"]
    assert all(row["parsed_response"]["mood"] in ("good", "bad") for row in rows)


def test_rows_may_bring_their_own_prompts_and_messages(cli: Cli) -> None:
    messages = [{"role": "user", "content": "hello"}]
    lines = [json.dumps(row) for row in ({"prompt": "hi", "n": 1}, {"messages": messages})]
    name = cli.file("rows.jsonl", "\n".join(lines))

    report = cli("run", name, "-m", "claude-haiku-5-5", *FAST, "--json").json

    assert report["succeeded"] == 2


def test_parquet_rows_are_read(cli: Cli) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": ["a", "b"], "n": [1, 2]}), "rows.parquet")

    report = cli("run", "rows.parquet", "-m", GPT, "-p", "{text}", *FAST, "--json").json

    assert report["succeeded"] == 2


def test_the_prompt_may_come_from_a_file_and_hold_braces(cli: Cli) -> None:
    cli.file("prompt.txt", 'Answer as {{"group": "{group}"}}: {text}')

    cli("run", cli.csv(1), "-m", GPT, "-p", "@prompt.txt", *FAST)

    sent = next(Path("rows-results/raw_files/requests").iterdir()).read_text(encoding="utf-8")
    body = json.loads(sent)["body"]
    assert body["messages"][0]["content"] == 'Answer as {"group": "0"}: row number 0'


def test_other_parameters_are_passed_on(cli: Cli) -> None:
    cli.run("--param", "top_p=0.5", "--param", "user=me", "--system", "Be short.")

    sent = next(Path("rows-results/raw_files/requests").iterdir()).read_text(encoding="utf-8")
    body = json.loads(sent.splitlines()[0])["body"]
    assert (body["top_p"], body["user"]) == (0.5, "me")
    assert body["messages"][0] == {"role": "system", "content": "Be short."}


def test_the_live_route_makes_no_batch(cli: Cli) -> None:
    report = cli.run("--route", "live", "--json").json

    assert report["succeeded"] == 5
    assert cli.box.ledger.batches == []


def test_failed_jobs_are_told_with_exit_code_3(cli: Cli) -> None:
    cli.box.set_scenario(Scenario(items=(ItemFault(outcome="invalid_request", prompt="number 3"),)))

    said = cli.run(code=3)

    assert "invalid_request" in said.out


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("rows.csv", "id,text\na,one\nb,\n"),
        ("rows.jsonl", '{"id": "a", "text": "one"}\n{"id": "b", "text": null}\n'),
    ],
)
def test_a_row_without_a_value_for_its_prompt_fails_unasked(cli: Cli, name: str, rows: str) -> None:
    asked = ("run", cli.file(name, rows), "-m", GPT, "-p", "Rate {text}", "--id-column", "id")

    said = cli(*asked, "--live", *FAST, code=3)

    assert len(cli.box.ledger.live) == 1
    assert f"{name} line {len(rows.splitlines())} has no value in column 'text'" in said.out


def test_a_limit_that_is_too_low_skips_jobs(cli: Cli) -> None:
    said = cli.run("--limit-usd", "0.0000001", "--json", code=3)

    assert said.json["not_succeeded"][0]["reason"] == "cost_limit"
    assert cli.box.ledger.billed_items == 0


def test_a_dry_run_sends_and_writes_nothing(cli: Cli) -> None:
    said = cli.run("--dry-run", "--json")

    assert said.json["jobs"] == 5
    assert not Path("rows-results").exists()
    assert cli.box.requests == []


def test_an_estimate_needs_no_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    said = cli("estimate", cli.csv(), "-m", GPT, "-p", "{text}")

    assert "at most" in said.out
    assert not Path("rows-results").exists()


@pytest.mark.parametrize(
    ("answer", "code", "sent"), [("n\n", 1, 0), ("y\n", 0, 5)], ids=["declined", "agreed"]
)
def test_a_person_is_asked_before_anything_is_sent(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, sent: int
) -> None:
    monkeypatch.setattr("batchata.cli.run.is_person_there", lambda: True)

    said = cli("run", cli.csv(), "-m", GPT, "-p", "{text}", *FAST, code=code, typed=answer)

    assert "Send them?" in said.err
    assert cli.box.ledger.billed_items == sent


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-p", "{txt}"), ("rows.csv line 2", "'txt'", "key, text, group")),
        (("-p", "{text"), ("template", "{{")),
        (("-p", "{text!r}"), ("'text!r'", "key, text, group")),
        (("-p", "{}"), ("template", "names no column")),
        ((), ("'prompt'", "key, text, group")),
        (("-p", "@missing.txt"), ("missing.txt",)),
        (("-p", "{text}", "--id-column", "nr"), ("'nr'", "key, text, group")),
        (("-p", "{text}", "--param", "top_p"), ("NAME=VALUE",)),
        (("-p", "{text}", "-m", "gpt-999-new"), ("no price", "--prices")),
        (("-p", "{text}", "-m", "nobody"), ("PROVIDER:nobody", "openai")),
        (("-p", "{text}", "--limit-usd", "0"), ("positive",)),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else None,
)
def test_what_cannot_be_used_is_said_before_anything_is_sent(
    cli: Cli, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    said = cli("run", cli.csv(), "-m", GPT, *FAST, *args, code=1)

    assert [word for word in words if word not in said.err] == []
    assert cli.box.ledger.billed_items == 0


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("rows.jsonl", '{"prompt": "a"}\n{"prompt"\n', "line 2"),
        ("rows.jsonl", "[1]\n", "line 1"),
        ("rows.csv", "prompt,n\na\n", "line 2"),
        ("rows.csv", "prompt\n", "no rows"),
        ("rows.txt", "a", ".jsonl, .ndjson, .csv, .parquet"),
    ],
)
def test_bad_rows_are_named_with_their_line(cli: Cli, name: str, text: str, word: str) -> None:
    said = cli("run", cli.file(name, text), "-m", GPT, *FAST, code=1)

    assert word in said.err


def test_a_missing_key_names_its_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")

    said = cli.run(code=1)

    assert "OPENAI_API_KEY" in said.err


def test_prices_of_ones_own(cli: Cli) -> None:
    cli.file("prices.json", json.dumps({"gpt-999-new": {"input": 1, "output": 4}}))

    args = ("-m", "openai:gpt-999-new", "-p", "{text}", "--prices", "prices.json", "--json")
    report = cli("run", cli.csv(), *args, *FAST).json

    assert report["status"]["cost_usd"] > 0


def test_wrong_usage_is_exit_code_2(cli: Cli) -> None:
    assert "No such command" in cli("rum", code=2).err
    assert "--model" in cli("run", cli.csv(), code=2).err
    assert "does not exist" in cli("run", "nothing.csv", "-m", GPT, code=2).err
