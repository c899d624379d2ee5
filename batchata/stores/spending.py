"""Money that calls outside of runs have spent, in the state file beside the runs' own."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from batchata.stores.files import closed_on_error, disk_error
from batchata.stores.spend_table import TABLE
from batchata.stores.sqlite import SQLiteStore
from batchata.stores.transactions import transaction

#: the row of everything; other scopes name a part of it
TOTAL: Final = ("total", "")
_SELECT: Final = "SELECT spent, uncertain, allowed FROM spend WHERE scope=? AND name=?"
_OWN_TIERS: Final = "own_tiers"  #: key of `meta`


class Spend(NamedTuple):
    """One line of the ledger, in 1e-12 USD; `allowed` bounds what calls in flight may add."""

    scope: str
    name: str
    spent: int
    uncertain: int
    allowed: int

    @property
    def most(self) -> int:
        """The most that this can amount to."""
        return max(self.spent + self.uncertain, self.allowed)


class SpendFile:
    """The ledger in a state file, held by one process; StateError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _make_private(path)
        self._store = SQLiteStore(path)
        try:
            cost = self._store.load().cost
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=10
            )
            with closed_on_error(self._db):
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute(TABLE)
        except sqlite3.Error as error:
            self._store.close()
            raise disk_error(path, error) from error
        except BaseException:
            self._store.close()
            raise
        ours = self.read(*TOTAL)
        #: what runs of this file have spent, may have spent, or have set aside (1e-12 USD)
        self.used_by_runs = cost.spent + cost.uncertain + cost.reserved - ours.most

    def read(self, scope: str, name: str) -> Spend:
        """One line; a name that was never written has spent nothing."""
        try:
            row = self._db.execute(_SELECT, (scope, name)).fetchone()
        except sqlite3.Error as error:
            raise disk_error(self.path, error) from error
        return Spend(scope, name, *(row or (0, 0, 0)))

    def own_tiers(self) -> dict[str, str]:
        """Dearer tiers on which upstreams put calls that name none, by upstream."""
        found: dict[str, str] = orjson.loads(self._store.meta(_OWN_TIERS) or "{}")
        return found

    def write(self, lines: Iterable[Spend], own_tiers: Mapping[str, str] | None = None) -> None:
        """Bring lines to disk, and tiers where given; all or none."""
        tiers = () if own_tiers is None else ((_OWN_TIERS, orjson.dumps(own_tiers).decode()),)
        try:
            with transaction(self._db):
                self._db.executemany("INSERT OR REPLACE INTO spend VALUES (?,?,?,?,?)", list(lines))
                self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?,?)", tiers)
        except sqlite3.Error as error:
            raise disk_error(self.path, error) from error
        self._store.check()

    def close(self) -> None:
        """Close the file."""
        self._db.close()
        self._store.close()


def _make_private(path: Path) -> None:
    """A new file is its owner's only; what is wrong with the path SQLiteStore tells better."""
    if not path.exists():
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
