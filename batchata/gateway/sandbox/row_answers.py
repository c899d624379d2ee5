"""Scripted answers to questions about several rows, with one for each row under its id."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

_ID: Final = "input_id"
_MARK: Final = b"input_id"
_TRIES: Final = 8


class _Message(msgspec.Struct):
    role: str
    content: Any = None


class _Asked(msgspec.Struct):
    messages: list[_Message] = []


def row_ids(body: bytes) -> list[str]:
    """Ids of the rows that a request asks about; none when it asks about something else."""
    if _MARK not in body:
        return []
    messages = msgspec.json.decode(body, type=_Asked).messages
    content = messages[-1].content if messages else None
    if not isinstance(content, str) or not content.startswith("["):
        return []
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError:
        return []
    if not all(isinstance(row, dict) and isinstance(row.get(_ID), str) for row in rows):
        return []
    return [row[_ID] for row in rows]


def row_answers(ids: list[str], make: Callable[[int], Any], seed: int) -> Any:
    """An answer like those of `make`, with a row for each id where it has a list of rows."""
    found: list[dict[str, Any]] = []
    name = ""
    for step in range(_TRIES * len(ids)):  # a scripted list may be empty
        made = make(seed + step)
        name, row = _first_row(made) or (name, None)
        if row is not None:
            found.append({**row, _ID: ids[len(found)]})
        if len(found) == len(ids):
            return {**made, name: found}
    return make(seed)


def _first_row(made: Any) -> tuple[str, dict[str, Any]] | None:
    for name, rows in made.items() if isinstance(made, dict) else ():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict) and _ID in rows[0]:
            return name, rows[0]
    return None
