"""What a folder of batches was told to ask: one plan per build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from batchata.core.errors import StateError
from batchata.disk.atomic import atomic_write
from batchata.frames.asking import Asking, make_asking
from batchata.frames.packs import Row, RowAnswer


@dataclass(slots=True, kw_only=True)
class Plan:
    """The rows of a table, and the requests about those not answered yet."""

    number: int
    asking: Asking
    schema: Any  #: anything `read_schema` accepts
    files: list[str] = field(default_factory=list)
    #: custom id → (id, key) of its rows
    requests: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    #: every row of the table: its original id, and its key or why it cannot be asked
    rows: list[tuple[Any, str | None, str | None]] = field(default_factory=list)

    def request_rows(self, custom_id: str) -> list[Row]:
        """The rows of a request, without their texts."""
        found = self.requests[custom_id]
        return [Row(n, row_id, "", bytes.fromhex(key)) for n, (row_id, key) in enumerate(found)]

    def note(self, custom_id: str, rows: Sequence[Row]) -> None:
        """Note which rows a request asks about."""
        self.requests[custom_id] = [(row.id, row.key.hex()) for row in rows]

    def add_row(self, row_id: Any, row: Row | None, missing: RowAnswer | None) -> None:
        """Note a row of the table."""
        kept = row_id if isinstance(row_id, (int, str, type(None))) else str(row_id)
        key = None if row is None else row.key.hex()
        self.rows.append((kept, key, None if missing is None else missing.error))

    def save(self, folder: Path) -> None:
        """Write the plan to disk, whole or not at all."""
        asking = self.asking
        data = {
            "number": self.number,
            "prompt": asking.prompt,
            "provider": asking.provider,
            "model": asking.model,
            "max_tokens": asking.max_tokens,
            "temperature": asking.temperature,
            "schema": self.schema,
            "files": self.files,
            "requests": self.requests,
            "rows": self.rows,
        }
        atomic_write(path_of(folder, self.number), orjson.dumps(data))


def path_of(folder: Path, number: int) -> Path:
    """Where a plan is."""
    return folder / f"plan_{number}.json"


def read_plans(folder: Path) -> Iterator[Plan]:
    """The plans of a folder, oldest first; StateError for one that cannot be read."""
    number = 1
    while (path := path_of(folder, number)).exists():
        try:
            data = orjson.loads(path.read_bytes())
            yield Plan(
                number=data["number"],
                asking=_asking(data),
                schema=data["schema"],
                files=data["files"],
                requests={
                    name: [(row_id, key) for row_id, key in rows]
                    for name, rows in data["requests"].items()
                },
                rows=[(row_id, key, error) for row_id, key, error in data["rows"]],
            )
        except (orjson.JSONDecodeError, KeyError) as error:
            raise StateError(
                f"the plan {str(path)!r} cannot be read: {error}",
                hint="use another job_id, or restore the file",
            ) from error
        number += 1


def _asking(data: dict[str, Any]) -> Asking:
    return make_asking(
        prompt=data["prompt"],
        model=data["model"],
        backend=data["provider"],
        schema=data["schema"],
        max_tokens=data["max_tokens"],
        temperature=data["temperature"],
    )
