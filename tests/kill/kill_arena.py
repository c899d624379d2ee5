"""A sandbox in a process of its own, scripts that are killed, and what must then be true."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import kill_script
from kill_plans import Plan
from zygote import Zygote

from batchata import GenaiPriceBook, Usage
from batchata.core.usage import from_parts, to_parts
from batchata.gateway import Ledger
from batchata.gateway import __main__ as sandbox

LONGEST_SECONDS = 100.0
Point = tuple[str, int]


class BrokenPromiseError(AssertionError):
    """A promise was not kept; says which, and where the process had been killed."""


@dataclass
class Outcome:
    """How a script ended: by itself with a report, or by a signal."""

    answer: dict[str, Any]
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def was_killed(self) -> bool:
        """True when SIGKILL ended it."""
        return self.answer.get("signal") == signal.SIGKILL

    @property
    def points(self) -> list[Point]:
        """Where it touched the world, in order."""
        return [(label, number) for label, number in self.report["points"]]

    @property
    def results(self) -> dict[str, list[Any]]:
        """What `results()` said, by job id."""
        return {row[0]: row for row in self.report["results"]}


class Arena:
    """A sandbox process, a folder, and a zygote for the scripts."""

    def __init__(self, zygote: Zygote) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kill-"))
        self._zygote = zygote
        self._sandbox = zygote.start(_serve)
        self.url = self._sandbox.stdout.readline().decode().strip()
        self._count = 0
        self._prices = GenaiPriceBook()

    def __enter__(self) -> Self:
        warm = Plan(name="warm", jobs=4, raw_files=True, files=2)
        folder = self.new_case(warm)
        self._zygote.prepare(kill_script.warm_up, self.order(warm, folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.send_signal(signal.SIGTERM)  # it takes its files away
        self._sandbox.wait(10)
        self._sandbox.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_case(self, plan: Plan) -> Path:
        """An emptied sandbox that plays the plan, and an empty folder."""
        self.play(plan)
        self.ask("POST", "/_sandbox/reset")
        self._count += 1
        folder = self.folder / f"case-{self._count}"
        folder.mkdir()
        return folder

    def play(self, plan: Plan) -> None:
        """Let the sandbox behave as the plan says, from now on."""
        self.ask("PUT", "/_sandbox/scenario", plan.script.to_json())

    def order(self, plan: Plan, folder: Path, **more: Any) -> dict[str, Any]:
        """What the script is told."""
        return {"plan": plan.wire(), "folder": str(folder), "url": self.url, **more}

    def run(
        self, plan: Plan, folder: Path, longest_seconds: float = LONGEST_SECONDS, **more: Any
    ) -> Outcome:
        """Run the script in a process of its own."""
        order = self.order(plan, folder, **more)
        answer = self.tell(order, longest_seconds=longest_seconds)
        path = folder / "report.json"
        report = json.loads(path.read_bytes()) if path.exists() else {}
        path.unlink(missing_ok=True)
        if answer.get("hung"):
            raise BrokenPromiseError(f"{plan.name}: the run hung\n{self.log_of(folder)}")
        return Outcome(answer, report)

    def baseline(self, plan: Plan) -> Baseline:
        """An undisturbed run of the plan: its points, and how everything ends."""
        folder = self.new_case(plan)
        outcome = self.run(plan, folder, tell_points=True)
        found = Baseline(plan, outcome, self.ledger())
        self.check(found, folder, outcome)
        shutil.rmtree(folder)
        return found

    def tell(
        self,
        order: dict[str, Any],
        script: Callable[[dict[str, Any]], None] = kill_script.main,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> dict[str, Any]:
        """Carry out an order in a new process and say how that ended."""
        with self._zygote.start(script, order) as process:
            ended = process.wait(longest_seconds)
            ended_at = time.time()
        if ended is None:
            return {"hung": True}
        return {"ended_at": ended_at, "signal" if ended < 0 else "exit": abs(ended)}

    def uploads(self) -> list[dict[str, Any]]:
        """Files at the vendors that are no batch's own."""
        found = json.loads(self.ask("GET", "/v1/files"))["data"]
        found = [each for each in found if not each["purpose"].startswith("batch")]
        version = {"anthropic-version": "2026-10-21"}
        more: list[dict[str, Any]] = json.loads(self.ask("GET", "/v1/files", **version))["data"]
        return [*found, *more]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        """Ask the sandbox over HTTP."""
        parts = urlsplit(self.url)
        with contextlib.closing(
            http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        ) as connection:
            connection.request(method, path, body, {"Authorization": "Bearer k", **headers})
            return connection.getresponse().read()

    def ledger(self) -> Ledger:
        """The vendors' bill."""
        return Ledger.from_json(self.ask("GET", "/_sandbox/ledger"))

    def requests(self) -> list[dict[str, Any]]:
        """The requests that reached the sandbox, with their times."""
        found: list[dict[str, Any]] = json.loads(self.ask("GET", "/_sandbox/requests"))
        return found

    def log_of(self, folder: Path) -> str:
        """The end of the script's log."""
        path = folder / "script.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def billed_usd(self, ledger: Ledger) -> Decimal:
        """The bill, priced item by item."""
        total = Decimal(0)
        for tier, items in (("batch", ledger.items), ("standard", ledger.live)):
            for item in items:
                usage = Usage(item.input_tokens, item.output_tokens, item.cached_tokens)
                card = self._prices.card(item.vendor, item.model, tier)
                total += from_parts(to_parts(card.cost_usd(usage)))
        return total

    def check(self, baseline: Baseline, folder: Path, outcome: Outcome) -> None:
        """Hold the finished run against every promise."""
        from kill_promises import broken

        ledger = self.ledger()
        files = json.loads(self.ask("GET", "/v1/files?purpose=batch"))["data"]
        problems = list(broken(baseline, folder, outcome, ledger, self.billed_usd(ledger), files))
        leaked = [each["filename"] for each in self.uploads()]
        if leaked:
            problems.append(f"uploads were left at the vendors: {leaked}")
        if problems:
            raise BrokenPromiseError("; ".join(problems) + f"\n{self.log_of(folder)}")


@dataclass
class Baseline:
    """How an undisturbed run of a plan went."""

    plan: Plan
    outcome: Outcome
    ledger: Ledger

    @property
    def points(self) -> list[Point]:
        """Distinct points, in the order they came."""
        return list(dict.fromkeys(self.outcome.points))

    def sample(self, count: int) -> list[Point]:
        """So many points, spread over the run, the rarest kinds of place first."""
        by_label: dict[str, list[Point]] = {}
        for point in self.points:
            by_label.setdefault(point[0], []).append(point)
        chosen: list[Point] = []
        turn = 0
        while len(chosen) < min(count, len(self.points)):
            for points in sorted(by_label.values(), key=len):
                if turn < len(points) and len(chosen) < count:
                    chosen.append(points[-1 - turn // 2] if turn % 2 else points[turn // 2])
            turn += 1
        return chosen

    @property
    def ends(self) -> dict[str, list[Any]]:
        """How each job ended: status, cost, text and parsed answer."""
        return {job_id: row[1:5] for job_id, row in self.outcome.results.items()}

    @property
    def batches(self) -> Counter[str]:
        """Batches by vendor."""
        return Counter(batch.vendor for batch in self.ledger.batches)


def _serve() -> None:
    # it would complain of every connection that a kill cuts
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sandbox.main(["--quiet"])
