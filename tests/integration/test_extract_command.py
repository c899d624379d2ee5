"""`batchata extract`: files of rows in, the same files with answers out."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_lab import FAST, GPT, Cli, cli_in

from batchata.cli import answered
from batchata.cli.tables import FileTable
from batchata.core.errors import ValidationError
from batchata.frames import extracting
from batchata.gateway import HttpFault, ItemFault, Scenario

SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string"}, "stars": {"type": "integer"}},
    "required": ["mood", "stars"],
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        made.file("schema.json", json.dumps(SCHEMA))
        yield made


def extract(cli: Cli, target: str, *args: str, code: int = 0) -> None:
    """The command over seven rows."""
    given = ("-m", GPT, "-p", "Name the mood.", "--schema", "schema.json", "--id-col", "key")
    cli("extract", cli.csv(7), target, *given, *FAST, *args, code=code)


def rows_of(cli: Cli, name: str) -> list[dict[str, str]]:
    with (cli.folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("route", ["--live", "--batch"])
def test_rows_come_back_in_order_with_their_answers(cli: Cli, route: str) -> None:
    extract(cli, "out.csv", route)

    rows = rows_of(cli, "out.csv")
    assert list(rows[0]) == ["key", "text", "group", "mood", "stars", "status", "error"]
    assert [row["key"] for row in rows] == [f"r{n}" for n in range(7)]
    assert {row["status"] for row in rows} == {"succeeded"}
    assert all(row["mood"] and row["stars"].lstrip("-").isdigit() for row in rows)
    assert len(cli.box.ledger.batches) == (1 if route == "--batch" else 0)


def test_the_kind_of_the_output_is_told_by_its_name(cli: Cli) -> None:
    extract(cli, "out.jsonl")
    extract(cli, "out.parquet", "--cache", "out.jsonl.cache")

    lines = [json.loads(line) for line in (cli.folder / "out.jsonl").read_text().splitlines()]
    table = pq.read_table(cli.folder / "out.parquet").to_pylist()
    assert table == lines
    assert len(cli.box.ledger.live) == 2


def test_parquet_keeps_its_types(cli: Cli) -> None:
    extract(cli, "first.parquet")
    given = ("-m", GPT, "-p", "Name it.", "--text-col", "mood", "--id-col", "stars", *FAST)

    cli("extract", "first.parquet", "second.parquet", *given)

    first, second = (pq.read_table(cli.folder / f"{name}.parquet") for name in ("first", "second"))
    assert second.schema.field("stars").type == first.schema.field("stars").type
    assert second.column_names == [*first.column_names, "answer", "answer_status", "answer_error"]


def test_parquet_has_types_also_where_no_row_has_an_answer(cli: Cli) -> None:
    cli.box.set_scenario(Scenario(items=(ItemFault(outcome="refusal"),)))

    extract(cli, "out.parquet", code=3)

    schema = pq.read_schema(cli.folder / "out.parquet")
    assert [str(schema.field(name).type) for name in ("mood", "stars")] == ["string", "int64"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_cannot_be_asked_is_in_the_output_all_the_same(cli: Cli, suffix: str) -> None:
    rows = cli.file("rows.jsonl", '{"text": "\\ud83d"}\n{"text": "fine"}\n')

    cli("extract", rows, f"out{suffix}", "-m", GPT, "-p", "Name it.", *FAST, code=3)

    out = (cli.folder / f"out{suffix}").read_bytes()
    assert b"\\ud83d" in out
    assert b"not valid Unicode" in out


def test_a_stop_says_that_the_same_command_goes_on(
    cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    fault = HttpFault(action="status", status=401, times=None, code="invalid_api_key")
    cli.box.set_scenario(Scenario(http=(fault,)))

    extract(cli, "out.csv", code=1)

    assert "run the same command again to go on: nothing is paid twice" in caplog.text


def test_rows_that_fail_are_written_and_change_the_exit_code(cli: Cli) -> None:
    cli.box.set_scenario(Scenario(items=(ItemFault(outcome="refusal", prompt="row number 3"),)))

    extract(cli, "out.csv", code=3)
    cli.box.set_scenario(Scenario())
    extract(cli, "out.csv", "--overwrite")

    assert {row["status"] for row in rows_of(cli, "out.csv")} == {"succeeded"}


def test_the_report_can_be_read_by_programs(cli: Cli) -> None:
    given = ("-m", GPT, "-p", "Name the mood.", "--schema", "schema.json", *FAST)

    said = cli("extract", cli.csv(7), "out.csv", *given, "--json", "--param", "seed=7")

    assert said.json == {"rows": 7, "succeeded": 7, "failed": 0, "output": "out.csv"}


def test_an_output_that_is_there_is_left_alone(cli: Cli) -> None:
    cli.file("out.csv", "mine")

    extract(cli, "out.csv", code=1)

    assert (cli.folder / "out.csv").read_text() == "mine"
    assert cli.box.requests == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("rows.csv", "rows.csv"), "the input as well"),
        (("rows.csv", "out.xls"), "not a file of rows"),
        (("rows.csv", "nowhere/out.csv"), "does not exist"),
        (("rows.csv", "out.csv", "--text-col", "txt"), "no column 'txt'"),
        (("rows.csv", "out.csv", "--id-col", "txt"), "no column 'txt'"),
        (("rows.csv", "out.csv", "--overwrite", "-m", "nobodys-model"), "nobodys-model"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(
    cli: Cli, args: tuple[str, ...], said: str
) -> None:
    cli.csv(7)

    found = cli("extract", "-m", GPT, "-p", "Name it.", *args, code=1)

    assert said in found.err
    assert cli.box.requests == []


def test_a_cost_limit_holds(cli: Cli) -> None:
    extract(cli, "out.csv", "--limit-usd", "0.0000001", "--max-tokens", "100", code=3)

    assert {row["status"] for row in rows_of(cli, "out.csv")} == {"skipped"}
    assert cli.box.ledger.live == []


def test_a_column_of_the_output_is_of_one_kind_whatever_its_rows_hold(cli: Cli) -> None:
    rows = [
        {"text": "a", "n": 1, "mixed": 1, "tags": ["x"], "huge": [2**70], "only": None},
        {"text": "b", "n": 2.5, "mixed": "two", "tags": [], "huge": [1], "more": True},
    ]
    source = cli.file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    cli("extract", source, "out.parquet", "-m", GPT, "-p", "Name it.", *FAST)

    table = pq.read_table(cli.folder / "out.parquet")
    kinds = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert kinds["n"] == "double"
    assert kinds["mixed"] == kinds["huge"] == kinds["only"] == "string"
    assert kinds["tags"].startswith("list<")
    assert table["mixed"].to_pylist() == ["1", "two"]
    assert table["more"].to_pylist() == [None, True]


def test_rows_are_written_in_groups_that_fit_into_memory(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answered, "_PARQUET_ROWS", 3)

    extract(cli, "first.parquet")
    given = ("-m", GPT, "-p", "Name it.", "--id-col", "key", *FAST)
    cli("extract", "first.parquet", "second.parquet", *given)

    for name in ("first", "second"):
        file = pq.ParquetFile(cli.folder / f"{name}.parquet")
        assert [file.metadata.row_group(n).num_rows for n in range(3)] == [3, 3, 1]
        assert file.read()["key"].to_pylist() == [f"r{n}" for n in range(7)]


def test_texts_are_found_again_in_any_order(cli: Cli) -> None:
    lines = [{"text": text} for text in ("one", "zwölf", None, "\ud83d", "")]
    source = cli.file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in lines))

    with FileTable(cli.folder / source, cli.folder) as table:
        pairs = list(table.pairs(None, "text"))
        texts = table.texts([3, 0, 1, 4])

    assert [text for _, text in pairs] == ["one", "zwölf", None, "\ud83d", ""]
    assert texts == ["\ud83d", "one", "zwölf", ""]


def test_an_input_that_is_changed_meanwhile_gets_no_answers_of_other_rows(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = extracting.extract

    def ask_and_change(*args: Any, **kwargs: Any) -> Any:
        ended = ask(*args, **kwargs)
        cli.csv(6)
        return ended

    given = ("-m", GPT, "-p", "Name the mood.", "--schema", "schema.json", "--id-col", "key")
    with monkeypatch.context() as patch:
        patch.setattr(extracting, "extract", ask_and_change)
        found = cli("extract", cli.csv(7), "out.csv", *given, *FAST, code=1)

    assert "rows.csv was changed while its rows were asked about" in found.err
    assert not (cli.folder / "out.csv").exists()
    cli.box.reset()
    cli("extract", cli.csv(7), "out.csv", *given, *FAST)
    assert cli.box.ledger.live == []


def test_a_pipe_is_refused_because_rows_are_read_more_than_once(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)

    with pytest.raises(ValidationError, match=r"rows\.csv is not a file"):
        FileTable(pipe, tmp_path)


def test_a_folder_is_no_output_and_a_full_disk_costs_nothing_twice(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cli.folder / "moods.csv").mkdir()
    extract(cli, "moods.csv", "--overwrite", code=1)
    assert not cli.box.ledger.live

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(answered, "_write_csv", full)
        extract(cli, "out.csv", code=1)
    asked = len(cli.box.ledger.live)
    extract(cli, "out.csv")

    assert len(cli.box.ledger.live) == asked == 2
    assert len(rows_of(cli, "out.csv")) == 7
