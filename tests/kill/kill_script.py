"""The user's script that is killed: builds a batch from a plan, runs it, reports what it saw."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kill_points import Points, instrument
from pydantic import BaseModel

from batchata import Batch
from batchata.core.events import Durable
from batchata.documents.pdf import create_pdf
from batchata.engine import feeding
from batchata.engine.context import RunContext

MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}


class Person(BaseModel):
    """What some jobs ask for."""

    name: str
    age: int


def make_batch(order: dict[str, Any]) -> Batch:
    """The batch of an order: its folder, the sandbox's address and the plan's settings."""
    plan, folder = order["plan"], Path(order["folder"])
    twice = plan["is_twice"]
    batch = Batch(folder / "out", raw_files=plan["raw_files"], dedupe=twice, **plan["batch"])
    batch.set_state(folder / "state.db").set_polling(0.001)
    retry_on = ["invalid_answer"] if plan["misfits"] else []
    batch.set_retries(settle_seconds=plan["settle_seconds"], retry_on=retry_on)
    batch.set_stop(plan["on_stop"], on_unresolved=plan["on_unresolved"]).set_uploads(
        plan["uploads"]
    )
    options = {"api_key": "k", "timeout_seconds": plan["timeout_seconds"]}
    batch.set_provider("openai", base_url=f"{order['url']}/v1", **options)
    batch.set_provider("anthropic", base_url=order["url"], **options)
    if plan["route"] == "auto":
        batch.finish_within(seconds=0.05)
    elif plan["route"] in ("live", "background"):
        batch.set_route(plan["route"], concurrency=3)
    limit = order.get("limit_usd") or plan["limit_usd"]
    if limit:
        batch.add_cost_limit(limit)
    if plan["time_limit_seconds"]:
        batch.add_time_limit(seconds=plan["time_limit_seconds"])
    for number in range(plan["jobs"]):
        question = number % (plan["jobs"] // 2) if twice else number
        vendor = plan["vendors"][question % len(plan["vendors"])]
        named: dict[str, Any] = {"id": f"q{number}"} if number % 3 else {}
        if question % 4 == 3:
            named["response_model"] = Person
        if plan["files"]:
            file = number % plan["files"]
            named["file"] = make_file(folder, file, plan["file_bytes"] >> file)
        batch.add_job(
            prompt=f"question {question}: who are you?",
            model=MODELS[vendor],
            max_tokens=plan["max_tokens"],
            **named,
        )
    for number in range(plan["dear"]):
        batch.add_job(prompt=f"too dear {number}", model=MODELS["anthropic"], max_tokens=60_000)
    if plan["stalls_seconds"]:
        batch.add_jobs(stall(plan["stalls_seconds"]))
    return batch


def stall(seconds: float) -> Iterator[str]:
    """The rest of a script, which waits for something in its own code."""
    time.sleep(seconds)
    yield from ()


def warm_up(order: dict[str, Any]) -> None:
    """Run once in the zygote, so that every lazy import has been made before a fork."""
    import pyarrow.parquet

    assert pyarrow.parquet
    make_batch(order).run()


def make_file(folder: Path, number: int, size_bytes: int) -> Path:
    """A PDF of at least this size that is there in every process of a case."""
    path = folder / f"{number}.pdf"
    if not path.exists():
        made = create_pdf([f"page {number}"])
        start = made.rindex(b"startxref")
        with open(path, "wb") as file:  # noqa: PTH123 - Path is watched
            file.write(made[:start] + b"%" + b"x" * size_bytes + b"\n" + made[start:])
    return path


def watch_money(violations: list[str]) -> None:
    """Check at every commit that no limit is passed."""
    record = RunContext.record

    def watched(self: RunContext, *events: Durable) -> None:
        record(self, *events)
        cost = self.state.cost
        total = cost.spent + cost.uncertain + cost.reserved
        if cost.limit is not None and total > cost.limit:
            names = [type(event).__name__ for event in events]
            violations.append(f"{names}: {total} > {cost.limit}")

    RunContext.record = watched  # type: ignore[method-assign]


def run_script(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out an order in this process, which is made for it alone."""
    report: dict[str, Any] = {"violations": []}
    kill = order.get("kill")
    points = Points(
        Path(order["folder"]), tuple(kill) if kill else None, order.get("disk_full_after")
    )
    points.kill_at = order.get("kill_at")
    points.is_read_only = order.get("is_read_only", False)
    watch_money(report["violations"])
    instrument(points)
    if order["plan"]["taken_in"]:
        feeding._FIRST = feeding._GROUP = order["plan"]["taken_in"]
    logging.basicConfig(
        filename=Path(order["folder"]) / "script.log",
        level=logging.INFO,
        format="%(asctime)s %(process)d %(name)s %(message)s",
    )
    run = None
    most, hardest = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if order.get("file_limit_bytes"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit_bytes"], hardest))
        batch = make_batch(order)
        _arrange_signals(order, points)
        run = batch.start() if order.get("in_background") else None
        if run is None:
            run = batch.run()
        else:
            _cancel(run, order, points)
            run.wait()
    except BaseException as error:  # noqa: BLE001 - whatever ends the run is told
        report["error"] = f"{type(error).__name__}: {error}"
        report["trace"] = traceback.format_exc()
    for number in (signal.SIGINT, signal.SIGTERM):  # one may come a moment too late
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hardest))
    if run is not None:
        report["status"] = {name: str(value) for name, value in run.status().items()}
        report["uncertain"] = run._session.state.cost.uncertain  # type: ignore[union-attr]
        report["results"] = [_told(result) for result in run.results().iter_all()]
    if order.get("tell_points"):
        report["points"] = points.log
    return report


def _told(result: Any) -> list[Any]:
    return [
        result.job_id,
        result.status.value,
        str(result.cost_usd),
        result.raw_response,
        result.parsed_response.model_dump() if result.parsed_response else None,
        result.reason,
        result.attempts,
    ]


def _arrange_signals(order: dict[str, Any], points: Points) -> None:
    """Send this process signals at their times, from a thread, as a terminal would.

    The first time counts from the first create call: from its answer, or from its beginning; or
    from the start of the run.
    """
    signals = order.get("signals") or []
    if not signals:
        return

    def send() -> None:
        if order.get("signals_from") != "start":
            points.creates[order.get("signals_from", "after")].wait()
        for seconds, number in signals:
            time.sleep(seconds)
            (Path(order["folder"]) / f"signal-{time.time():.6f}").touch()
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=send, daemon=True).start()


def _cancel(run: Any, order: dict[str, Any], points: Points) -> None:
    points.creates["after"].wait()
    time.sleep(order["cancel_after"])
    (Path(order["folder"]) / f"signal-{time.time():.6f}").touch()
    run.cancel()


def main(order: dict[str, Any]) -> None:
    """Run and leave the report in the case's folder."""
    report = run_script(order)
    path = str(Path(order["folder"]) / "report.json")
    with open(path + ".new", "w", encoding="utf-8") as file:  # noqa: PTH123 - Path is watched
        json.dump(report, file)
    os.rename(path + ".new", path)  # noqa: PTH104
