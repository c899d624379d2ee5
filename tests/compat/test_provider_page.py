"""The page on writing a provider does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batchata.providers import registry

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/write-a-provider.md"


def test_its_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None

    exec(compile(found[1], str(PAGE), "exec"), {"__name__": "example"})

    assert capsys.readouterr().out == "HELLO\n"
