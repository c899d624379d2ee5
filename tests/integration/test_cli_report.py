"""`batchata report`: a run of the sandbox as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_lab import Cli, cli_in


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    with cli_in(tmp_path, monkeypatch) as made:
        yield made


def test_report_writes_one_file_about_a_run(cli: Cli) -> None:
    cli.run("--results", "out")

    said = cli("report", "out", "--title", "Five rows")

    page = Path("report.html").read_text(encoding="utf-8")
    assert "written to report.html: 5 results" in said.err
    assert "<h1>Five rows</h1>" in page
    assert "Sum up: row number 3" in page


def test_report_tells_what_it_left_out(cli: Cli) -> None:
    cli.run("--results", "out")

    said = cli("report", "out/state.db", "--limit", "2", "-o", "few.html")
    report = cli("report", "out", "--limit", "2", "-o", "few.html", "--json").json

    assert "3 results are left out" in said.err
    assert (report["results"], report["left_out"]) == (2, 3)
    assert report["size_bytes"] == Path("few.html").stat().st_size


def test_report_overwrites_nothing_but_reports(cli: Cli) -> None:
    cli.run("--results", "out")
    cli.file("notes.html", "mine")

    said = cli("report", "out", "-o", "notes.html", code=1)

    assert "is not a report" in said.err
    assert Path("notes.html").read_text(encoding="utf-8") == "mine"


def test_report_shows_a_run_that_is_still_going_on(cli: Cli) -> None:
    cli.leave_in_flight()

    said = cli("report", "out")

    assert "5 results" in said.err


def test_report_keeps_keys_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    cli.run("--results", "out")

    cli("report", "out")

    assert "sk-very-secret" not in Path("report.html").read_text(encoding="utf-8")
