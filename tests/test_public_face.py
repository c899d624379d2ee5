"""What `import batchata` gives, and what it leaves alone."""

from __future__ import annotations

import ast
import importlib
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
#: heavy or optional, so imported on first use
LAZY: Final = {
    "aiohttp",
    "anthropic",
    "genai_prices",
    "openai",
    "pyarrow",
    "pypdf",
    "rich",
    "tiktoken",
}


def tree_of(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def test_every_public_name_can_be_imported() -> None:
    package = importlib.import_module("batchata")

    missing = [name for name in package.__all__ if getattr(package, name, None) is None]

    assert missing == []


def test_type_checkers_see_the_same_names_as_programs() -> None:
    package = importlib.import_module("batchata")
    blocks = [node for node in tree_of("batchata/__init__.py").body if isinstance(node, ast.If)]
    shown = {
        alias.asname or alias.name
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert sorted(shown | {"__version__"}) == sorted(package.__all__)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, batchata; sys.stdout.write(' '.join(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert LAZY & set(done.stdout.split()) == set()


def test_every_error_has_a_line_in_the_docs() -> None:
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    nodes = tree_of("batchata/core/errors.py").body
    errors = [node.name for node in nodes if isinstance(node, ast.ClassDef)]

    assert [name for name in errors if f"`{name}`" not in page] == []


def test_a_package_index_shows_the_readme_without_links_that_lead_nowhere_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hatchling = ModuleType("hatchling.metadata.plugin.interface")
    hatchling.__dict__["MetadataHookInterface"] = SimpleNamespace
    monkeypatch.setitem(sys.modules, hatchling.__name__, hatchling)
    build = runpy.run_path(str(ROOT / "hatch_build.py"))
    metadata: dict[str, Any] = {}

    build["ReadmeHook"](root=str(ROOT)).update(metadata)

    said = metadata["readme"]["text"]
    assert "](" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "](" not in said.replace("](http", "")
    assert "Tutorial: your first batch" in said
