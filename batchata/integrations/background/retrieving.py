"""`retrieve_background_responses`: a table of response ids in, the same table with answers out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from batchata.core.errors import ValidationError
from batchata.core.job import check_number
from batchata.core.template import is_missing
from batchata.integrations.background.checkpoint import Checkpoint, Stored
from batchata.integrations.background.event_writing import RetrievalEvents, log_of
from batchata.integrations.background.fetching import Fetched, Fetcher
from batchata.ports import BackgroundAPI
from batchata.providers.control import ProviderSettings
from batchata.providers.openai import create
from batchata.rows.table import Table

log = logging.getLogger("batchata.background")

#: responses that wait for the disk together
_GROUP: Final = 500
_GROUP_SECONDS: Final = 1.0


async def retrieve_background_responses(
    df: Any,
    client: Any,
    logger: Any = None,
    response_id_col: str = "response_id",
    logger_custom_id_col: str = "logger_custom_id",
    batch_size: int = 50,
    max_retries: int = 3,
    timeout: float = 30.0,
    checkpoint_file: str | os.PathLike[str] | None = None,
    return_results: bool = True,
    *,
    wait: bool = False,
    show_progress: bool = False,
) -> Any:
    """Fetch the OpenAI responses whose ids are in a column of a table, whoever began them.

    Returns a table of the same kind, row for row: `response_id`, `logger_custom_id` where the table
    has it, `status`, `openai_response` (a dict in pandas, else JSON text) and `error`; None with
    `return_results=False`. A status is the vendor's own word, "expired" for a response that it no
    longer has, or "error" for one that could not be fetched in `max_retries` tries of `timeout`
    seconds each.

    `batch_size` responses are asked for at once. Those that have ended are in `checkpoint_file`
    with their answers, and the same call asks only for the others. `wait` goes on asking, at the
    vendor's pace, until all have ended. `logger` is an EventLog or a ParquetLogger, and is told
    before a response is checked off. Raises AccountStoppedError for a key that is refused, and
    StateError for a checkpoint that cannot be used.
    """
    check_number("batch_size", batch_size, least=1, most=1000, whole=True)
    check_number("max_retries", max_retries, least=1, most=100, whole=True)
    check_number("timeout", timeout, least=0.001)
    if client is None:
        raise ValidationError("client is None", hint="give an openai.AsyncOpenAI() or OpenAI()")
    events = RetrievalEvents(log_of(logger))
    rows = _Rows(Table(df), response_id_col, logger_custom_id_col)
    path = None if checkpoint_file is None else Path(checkpoint_file)
    provider = create(ProviderSettings(client=client, options={"timeout_seconds": timeout}))
    assert provider.background is not None
    try:
        with Checkpoint(path) as checkpoint, _progress(show_progress, rows) as seen:
            fetching = _Fetching(rows, checkpoint, events, seen)
            try:
                await fetching.run(provider.background, batch_size, max_retries, wait=wait)
            finally:
                fetching.keep()
                events.flush()
            fetching.report()
            return rows.answered(checkpoint, fetching.others) if return_results else None
    finally:
        await provider.aclose()


class _Rows:
    """The ids of a table, each with the user's own name for it."""

    def __init__(self, table: Table, id_column: str, custom_column: str) -> None:
        self._table = table
        self._names = {id_column: "response_id"}
        if custom_column in table.columns and custom_column != id_column:
            self._names[custom_column] = "logger_custom_id"
        self._ids: list[str] = []
        self.custom_ids: dict[str, str] = {}  #: each id once, with its name
        for response_id, *custom in table.tuples(list(self._names)):
            self._ids.append("" if is_missing(response_id) else str(response_id))
            if self._ids[-1]:
                self.custom_ids[self._ids[-1]] = "".join(
                    str(name) for name in custom if not is_missing(name)
                )

    def __len__(self) -> int:
        return len(self.custom_ids)

    def answered(self, checkpoint: Checkpoint, others: dict[str, tuple[str, str | None]]) -> Any:
        """The table with what is known of each row."""
        is_pandas = type(self._table.native).__module__.startswith("pandas")
        stored = {
            each.response_id: (
                each.status,
                orjson.loads(each.body) if is_pandas else each.body.decode(),
            )
            for each in checkpoint.read(self.custom_ids)
        }
        none: tuple[str, str | None] = ("error", "the row has no response id")
        ended = [stored.get(each) for each in self._ids]
        open_ = [others.get(each, none) for each in self._ids]
        pairs = list(zip(ended, open_, strict=True))
        columns: dict[str, list[Any]] = {
            "status": [other[0] if found is None else found[0] for found, other in pairs],
            "openai_response": [None if found is None else found[1] for found, _ in pairs],
            "error": [other[1] if found is None else None for found, other in pairs],
        }
        return self._table.renamed(self._names).with_columns(columns, dict.fromkeys(columns, str))


class _Fetching:
    """One retrieval: what was fetched is told, then checked off with its answer."""

    def __init__(
        self, rows: _Rows, checkpoint: Checkpoint, events: RetrievalEvents, seen: Counter[str]
    ) -> None:
        self._rows = rows
        self._checkpoint = checkpoint
        self._events = events
        self._group: list[Stored] = []
        self._since = 0.0
        self._open: dict[str, float | None] = {}  #: the pace the vendor wants, by id
        self._seen = seen
        self.others: dict[str, tuple[str, str | None]] = {}  #: status and error of those left

    async def run(self, api: BackgroundAPI, at_once: int, tries: int, *, wait: bool) -> None:
        """Ask for all that are not checked off; with `wait` until the vendor has ended each."""
        known = self._checkpoint.known()
        left = [each for each in self._rows.custom_ids if each not in known]
        self._seen["stored"] += len(self._rows) - len(left)
        fetcher = Fetcher(api, self._came, at_once=at_once, tries=tries)
        while left:
            await fetcher.run(left)
            left = list(self._open)
            if not wait or not left:
                return
            self.keep()
            paces = [api.poll_seconds if each is None else each for each in self._open.values()]
            self._open.clear()
            await asyncio.sleep(min(paces))

    def _came(self, found: Fetched) -> None:
        response_id = found.response_id
        self._events.tell(found, self._rows.custom_ids[response_id])
        if found.body is None:
            self.others[response_id] = (found.status, _words(found))
            if found.is_open:
                self._open[response_id] = found.poll_after_seconds
            else:
                self._seen[found.status] += 1
            return
        self.others.pop(response_id, None)
        self._seen[found.status] += 1
        if not self._group:
            self._since = time.monotonic()
        self._group.append(Stored(response_id, found.status, found.body, time.time_ns() // 1000))
        is_old = time.monotonic() - self._since >= _GROUP_SECONDS
        if len(self._group) >= _GROUP or is_old:
            self.keep()

    def keep(self) -> None:
        """Check off what was fetched."""
        if self._group:
            group, self._group = self._group, []
            self._checkpoint.keep(group)

    def report(self) -> None:
        """Say what is not there, and what to do."""
        counts = Counter(status for status, _ in self.others.values())
        if counts:
            said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
            log.warning("%d responses are not there yet: %s; call again", counts.total(), said)


def _words(found: Fetched) -> str | None:
    return None if found.error is None else found.error.message


@contextlib.contextmanager
def _progress(is_wanted: bool, rows: _Rows) -> Iterator[Counter[str]]:
    """Counts of responses by how they ended, shown in a terminal where that is wanted."""
    seen: Counter[str] = Counter()
    if not is_wanted:
        yield seen
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("responses", total=len(rows))

        class Shown(Counter[str]):
            def __setitem__(self, key: str, value: int) -> None:
                super().__setitem__(key, value)
                bar.update(task, completed=self.total())

        yield Shown()
