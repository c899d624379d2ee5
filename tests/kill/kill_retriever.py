"""A user's script that fetches background responses, and is killed between any two steps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import narwhals
import pandas
import pyarrow
from kill_points import Points
from openai import AsyncOpenAI

from batchata.integrations.background import retrieving
from batchata.providers.openai.background import OpenAIBackground
from batchata.sinks.eventlog.log import EventLog
from batchata.stores.sqlite_file import FileKind, SqliteFile

assert narwhals, pandas  # imported on the way otherwise, by every child for itself


def watch(points: Points, owner: Any, name: str) -> None:
    """Make each call of a method two points."""
    done: Callable[..., Any] = getattr(owner, name)

    def watched(*args: Any, **options: Any) -> Any:
        points.touch(f"before {name}")
        result = done(*args, **options)
        points.touch(f"after {name}")
        return result

    setattr(owner, name, watched)


class _Db:
    """A connection whose statements are points."""

    def __init__(self, db: Any, points: Points) -> None:
        self._db, self._points = db, points

    def execute(self, sql: str, *args: Any) -> Any:
        label = sql.split()[0]
        self._points.touch(f"sql: before {label}")
        result = self._db.execute(sql, *args)
        self._points.touch(f"sql: after {label}")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


def instrument(points: Points) -> None:
    """Wrap the event log, the checkpoint and the requests of this process."""
    for name in ("write", "flush"):
        watch(points, EventLog, name)
    watch(points, OpenAIBackground, "retrieve")
    begin = SqliteFile.__init__

    def watched(self: SqliteFile, path: Path | None, kind: FileKind) -> None:
        begin(self, path, kind)
        self._db = _Db(self._db, points)  # type: ignore[assignment]

    SqliteFile.__init__ = watched  # type: ignore[method-assign]


def main(order: dict[str, Any]) -> None:
    """Fetch what the order names and leave a report."""
    folder, kill = Path(order["folder"]), order.get("kill")
    points = Points(folder, tuple(kill) if kill else None)
    retrieving._GROUP = 4  # type: ignore[misc]
    instrument(points)
    client = AsyncOpenAI(base_url=f"{order['url']}/v1", api_key="k")
    log = EventLog(folder / "logs", buffer_size=5)
    found = asyncio.run(
        retrieving.retrieve_background_responses(
            pyarrow.table({"response_id": order["ids"]}),
            client,
            log,
            batch_size=3,
            checkpoint_file=folder / "responses.db",
        )
    )
    log.close()
    report = {"statuses": found["status"].to_pylist(), "points": points.log}
    (folder / "report.json").write_text(json.dumps(report))
