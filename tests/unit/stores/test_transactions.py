from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from batchata.stores.transactions import transaction


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, sqlite3.IntegrityError])
def test_a_block_that_fails_writes_nothing(error: type[BaseException]) -> None:
    def broken_off(db: sqlite3.Connection) -> None:
        with transaction(db):
            db.execute("INSERT INTO t VALUES (1)")
            raise error

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("CREATE TABLE t (n)")
        with pytest.raises(error):
            broken_off(db)
        with transaction(db):
            db.execute("INSERT INTO t VALUES (2)")

        assert db.execute("SELECT n FROM t").fetchall() == [(2,)]
        assert not db.in_transaction
