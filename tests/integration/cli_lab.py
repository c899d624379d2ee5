"""The command line, run in this process against a sandbox whose time can be moved."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from batchata import BatchRun
from batchata.cli.app import app
from batchata.engine import shutdown
from batchata.gateway import HttpFault, Sandbox, Scenario

GPT = "gpt-6-luna"
FAST = ("--poll-factor", "0.01")


class MovableClock:
    """A clock that tests push ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.out)


class Cli:
    """Commands in a folder of their own, beside a sandbox."""

    def __init__(self, box: Sandbox, clock: MovableClock, folder: Path) -> None:
        self.box = box
        self.clock = clock
        self.folder = folder

    def __call__(self, *args: str, code: int = 0, typed: str | None = None) -> Said:
        """Run a command; its exit code must be `code`."""
        done = CliRunner().invoke(app, list(args), input=typed, catch_exceptions=False)
        said = Said(done.exit_code, done.stdout, done.stderr)
        assert said.code == code, f"{args}: {said}"
        return said

    def csv(self, n: int = 5, name: str = "rows.csv") -> str:
        """Write a file of rows and give its name."""
        lines = [f"r{i},row number {i},{i % 3}" for i in range(n)]
        return self.file(name, "\n".join(["key,text,group", *lines]))

    def file(self, name: str, text: str) -> str:
        """Write a file and give its name."""
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    def run(self, *args: str, code: int = 0) -> Said:
        """`batchata run` over five rows, quickly."""
        return self("run", self.csv(), "-m", GPT, "-p", "Sum up: {text}", *FAST, *args, code=code)

    def leave_in_flight(self, *faults: HttpFault) -> BatchRun:
        """A run of five rows in two batches that the vendor takes a minute for."""
        self.box.set_scenario(Scenario(latency_seconds=60, http=faults))
        from batchata.cli.build import Inputs, make_batch

        inputs = Inputs(
            file=Path(self.csv()),
            model=GPT,
            prompt="Sum up: {text}",
            items_per_batch=3,
            limit_usd=1,
            results=Path("out"),
            result_format="jsonl",
            poll_factor=0.01,
        )
        run = make_batch(inputs).run(wait=False)
        while len(self.box.ledger.batches) < 2:
            assert not run.wait(0.01), "the run ended before it had sent anything"
        while not run.wait(0.02):
            run.stop()
        return run


@contextmanager
def cli_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The command line in a folder, its vendors played by a sandbox."""

    monkeypatch.setattr(shutdown, "GRACE_SECONDS", 60.0)
    monkeypatch.chdir(folder)
    clock = MovableClock()
    with Sandbox(Scenario(), clock=clock) as box:
        for name, value in sandbox_variables(box).items():
            monkeypatch.setenv(name, value)
        yield Cli(box, clock, folder)


def sandbox_variables(box: Sandbox) -> Mapping[str, str]:
    """What `batchata sandbox` says to export."""
    return {
        "OPENAI_BASE_URL": box.openai_base_url,
        "OPENAI_API_KEY": "sandbox",
        "ANTHROPIC_BASE_URL": box.anthropic_base_url,
        "ANTHROPIC_API_KEY": "sandbox",
    }
