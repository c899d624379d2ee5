"""State files and results folders as the commands are given them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from batchata.core.errors import StateError

if TYPE_CHECKING:
    from batchata.core.config import RunConfig
    from batchata.stores.sqlite import SQLiteStore

#: the name of the state file inside a results folder
STATE_NAME = "state.db"


def state_file(path: Path) -> Path:
    """The state file itself, also when the folder around it was named."""
    found = path / STATE_NAME if path.is_dir() else path
    if not found.exists():
        raise StateError(
            f"there is no state file {str(found)!r}",
            hint="name the state file of a run, or its results folder",
        )
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """What a state file remembers of its run's settings."""

    limit_usd: Decimal | None
    result_format: Literal["json", "jsonl", "parquet"]
    results_dir: Path | None


def kept_settings(path: Path, results_dir: Path | None) -> Kept:
    """Settings to go on with: the limit as it was, and results where they were."""
    from batchata.stores.sqlite import SQLiteStore

    with closing(SQLiteStore(path, read_only=True)) as store:
        limit = limit_of(store)
        is_jsonl = store.meta("results_file") is not None
    folder = results_dir or (path.parent if path.name == STATE_NAME else None)
    if is_jsonl:
        return Kept(limit, "jsonl", folder)
    is_parquet = folder is not None and any(folder.glob("*.parquet"))
    return Kept(limit, "parquet" if is_parquet else "json", folder)


def limit_of(store: SQLiteStore) -> Decimal | None:
    """The cost limit of the last run."""
    from batchata.core.usage import from_parts

    parts = store.meta("limit")
    return None if parts is None else from_parts(parts)


def config_of(
    kept: Kept,
    *,
    limit_usd: float | None = None,
    items_per_batch: int | None = None,
    max_parallel: int = 10,
    poll_factor: float = 1.0,
    on_unresolved: Literal["wait", "ask", "resubmit"] = "wait",
) -> RunConfig:
    """A run's settings from what was kept and what is asked for now."""
    from batchata.batch import Batch

    batch = Batch(
        kept.results_dir, max_parallel, items_per_batch, result_format=kept.result_format
    ).set_polling(poll_factor)
    batch.set_stop(on_unresolved=on_unresolved)
    limit = kept.limit_usd if limit_usd is None else limit_usd
    if limit is not None:
        batch.add_cost_limit(limit)
    return batch.config
