"""What the documents say, done: every code block and every example, against a sandbox."""

from __future__ import annotations

import ast
import io
import runpy
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from snippets import ROOT, Block, blocks, examples, pages

from batchata.cli import main
from batchata.core.errors import BatchataError
from batchata.gateway import Sandbox, Scenario


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(Scenario()) as made:
        yield made


@pytest.fixture
def _workplace(box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with sample rows, and a sandbox where the vendors would be."""
    box.reset()
    monkeypatch.setenv("OPENAI_BASE_URL", box.openai_base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sandbox")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", box.anthropic_base_url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sandbox")
    monkeypatch.chdir(tmp_path)
    rows = files("batchata.cli.samples").joinpath("reviews.csv").read_text(encoding="utf-8")
    few = "".join(rows.splitlines(keepends=True)[:6])
    Path("reviews.csv").write_text(few, encoding="utf-8")


@pytest.mark.parametrize("page", pages())
@pytest.mark.usefixtures("_workplace")
def test_every_code_block_of_a_page_runs(page: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            run_python(block, names)
        elif block.language == "sh":
            for command in block.commands:
                assert run_command(command) == 0, f"{page}:{block.line}: {' '.join(command)}"


def test_every_yaml_block_of_a_page_is_yaml() -> None:
    found = [block for page in pages() for block in blocks(page) if block.language == "yaml"]

    assert len(found) >= 3
    assert all(yaml.safe_load(block.text) for block in found)


@pytest.mark.parametrize("name", examples())
@pytest.mark.usefixtures("_workplace")
def test_every_example_runs_offline(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")

    assert capsys.readouterr().out


def run_python(block: Block, names: dict[str, Any]) -> None:
    """Run a block with what the blocks before it left; traceback lines are the page's own."""
    tree = ast.parse(block.text, block.page)
    ast.increment_lineno(tree, block.line - 1)
    try:
        exec(compile(tree, block.page, "exec", dont_inherit=True), names)
    except BatchataError as error:
        pytest.fail(f"{block.page}:{block.line}: {error}")


def run_command(command: list[str]) -> int:
    """Run a command of ours; its exit code."""
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        try:
            main(command)
        except SystemExit as left:
            code = left.code
        else:
            code = 0
    if code:
        pytest.fail(f"batchata {' '.join(command)}: {said.getvalue()}")
    return 0


def test_the_readme_begins_with_few_words_and_a_short_example() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")

    [first, *_] = [block for block in blocks("README.md") if block.language == "python"]

    prose = page[: page.index("```python")]
    assert len(prose.split()) <= 120
    assert "make demo" in prose
    assert "make test" in prose
    assert len(first.text.splitlines()) <= 20


@pytest.mark.parametrize("name", examples())
def test_an_example_is_short(name: str) -> None:
    text = (ROOT / "examples" / name).read_text(encoding="utf-8")

    assert len(text.splitlines()) < 40
