"""The table of what calls outside of runs have spent; only files that had such calls have it."""

from __future__ import annotations

import sqlite3
from typing import Final

TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS spend (scope TEXT, name TEXT, spent INTEGER NOT NULL, "
    "uncertain INTEGER NOT NULL, allowed INTEGER NOT NULL, PRIMARY KEY (scope, name)) "
    "WITHOUT ROWID"
)
_IS_THERE: Final = "SELECT 1 FROM sqlite_master WHERE name='spend'"
_TOTAL: Final = (
    "SELECT coalesce(sum(spent),0), coalesce(sum(max(uncertain, allowed-spent)),0) "
    "FROM spend WHERE scope='total'"
)


def spent_outside(db: sqlite3.Connection) -> tuple[int, int]:
    """What such calls have spent, and what they may have spent on top (1e-12 USD)."""
    if db.execute(_IS_THERE).fetchone() is None:
        return 0, 0
    spent, uncertain = db.execute(_TOTAL).fetchone()
    return spent, uncertain
