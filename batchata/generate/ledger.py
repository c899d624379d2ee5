"""The shard ledger: which rows are done, who works on which, and each shard's one valid part."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec
import orjson

from batchata.core.allowance import Grant, Rates, SharedRates, Use
from batchata.core.errors import StateError, StateVersionError
from batchata.generate.selection import Span
from batchata.stores.files import closed_on_error
from batchata.stores.transactions import transaction

VERSION: Final = 1
#: seconds of silence after which a worker loses its shard
LEASE_SECONDS: Final = 30.0
_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE shards (
  n INTEGER PRIMARY KEY, start INTEGER, stop INTEGER,
  worker TEXT, lease_until REAL, attempt INTEGER DEFAULT 0, leased INTEGER DEFAULT 0,
  again INTEGER DEFAULT 0,
  part TEXT, answers INTEGER DEFAULT 0, failed INTEGER DEFAULT 0, cut INTEGER DEFAULT 0,
  input_tokens INTEGER DEFAULT 0, output_tokens INTEGER DEFAULT 0, cost INTEGER DEFAULT 0,
  error TEXT
);
CREATE TABLE workers (name TEXT PRIMARY KEY, seen_at REAL, report TEXT) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A range of rows that one worker answers at a time."""

    number: int
    span: Span
    attempt: int  #: how often it was started, from 1
    again: bool = False  #: it was complete, and its failed rows are asked again

    @property
    def part(self) -> str:
        """Name of the part that this attempt writes."""
        return f"part-{self.number:06d}-{self.attempt}.parquet"

    @property
    def state(self) -> str:
        """Name of the state file that all attempts share, so none pays for another's answers."""
        return state_name(self.number)


def state_name(number: int) -> str:
    """Name of the state file of a shard."""
    return f"shard-{number:06d}.db"


class Funds(NamedTuple):
    """The money that a shard asks for, all in 1e-12 USD."""

    sure: int  #: what it has cost, or may have
    kept: int  #: what it does not give back: `sure`, and what is in flight
    least: int  #: less than this is of no use
    wanted: int


class Funded(NamedTuple):
    """What a shard may cost in all, in 1e-12 USD; if it is final, no more will come."""

    parts: int
    is_final: bool = False
    is_lost: bool = False  #: another worker has the shard by now


class Tally(msgspec.Struct, frozen=True):
    """What a part holds."""

    answers: int = 0
    failed: int = 0
    cut: int = 0  #: answers that hit max_tokens
    input_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0  #: 1e-12 USD
    error: str | None = None  #: the first one

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.answers + other.answers,
            self.failed + other.failed,
            self.cut + other.cut,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cost + other.cost,
            self.error or other.error,
        )


class Ledger:
    """The ledger file, used by the processes of one machine, or by one on behalf of many."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._turn = threading.RLock()  #: threads of this process use one connection
        try:
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30
            )
            with closed_on_error(self._db):
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                with self._transaction():
                    self._prepare()
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StateVersionError(
                f"{str(self.path)!r} was written by a newer batchata",
                hint="update batchata, or start over with --fresh",
            )
        if not version:
            for statement in _TABLES.split(";"):
                if statement.strip():
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def _trouble(self, error: sqlite3.Error) -> StateError:
        return StateError(
            f"the ledger {str(self.path)!r} cannot be used: {error}",
            hint="is the disk full, or is it some other program's file?",
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            try:
                with transaction(self._db):
                    yield self._db
            except sqlite3.Error as error:
                raise self._trouble(error) from error

    def _read(self, question: str, *values: Any) -> list[Any]:
        with self._turn:
            try:
                return self._db.execute(question, values).fetchall()
            except sqlite3.Error as error:
                raise self._trouble(error) from error

    def plan(self, meta: Mapping[str, Any], spans: list[Span]) -> None:
        """Record the shards, once; all or none."""
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO shards (n, start, stop) VALUES (?, ?, ?)",
                [(number, each.start, each.stop) for number, each in enumerate(spans)],
            )
            self._set(db, meta)

    def meta(self, key: str) -> Any:
        """A value kept with the plan; None where it was never set."""
        found = self._read("SELECT value FROM meta WHERE key=?", key)
        return orjson.loads(found[0][0]) if found else None

    def set_meta(self, **values: Any) -> None:
        """Keep values with the plan."""
        with self._transaction() as db:
            self._set(db, values)

    def _set(self, db: sqlite3.Connection, values: Mapping[str, Any]) -> None:
        rows = [(key, orjson.dumps(value).decode()) for key, value in values.items()]
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def take(self, worker: str) -> Shard | None:
        """The next free shard, reserved for this worker until its lease ends, or None."""
        now = self._clock()
        with self._transaction() as db:
            row = db.execute(
                "SELECT n, start, stop, attempt, again FROM shards WHERE part IS NULL "
                "AND (worker IS NULL OR lease_until < ?) ORDER BY n LIMIT 1",
                (now,),
            ).fetchone()
            if row is None:
                return None
            number, start, stop, attempt, again = row
            db.execute(
                "UPDATE shards SET worker=?, lease_until=?, attempt=? WHERE n=?",
                (worker, now + LEASE_SECONDS, attempt + 1, number),
            )
        span = Span(start, stop)
        return Shard(number=number, span=span, attempt=attempt + 1, again=bool(again))

    def renew(self, worker: str, report: Mapping[str, Any], held: Sequence[int] = ()) -> None:
        """Renew the leases of the shards this worker holds, and store its report."""
        now = self._clock()
        with self._transaction() as db:
            db.executemany(
                "UPDATE shards SET lease_until=? WHERE n=? AND worker=? AND part IS NULL",
                [(now + LEASE_SECONDS, number, worker) for number in held],
            )
            said = orjson.dumps(dict(report)).decode()
            db.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?)", (worker, now, said))

    def give_back(self, worker: str) -> None:
        """Free the shards of this worker.

        Their money stays set aside until they are taken up again, which may give some back.
        """
        with self._transaction() as db:
            db.execute("UPDATE shards SET worker=NULL WHERE part IS NULL AND worker=?", (worker,))

    def free_all(self, recount: Callable[[str, int], int]) -> None:
        """Free every shard, because the processes that held them are gone or soon will be.

        `recount` gives what a shard has or may have cost, from its state file's name and the money
        that was set aside for it, both 1e-12 USD.
        """
        with self._transaction() as db:
            db.execute("DELETE FROM workers")
            db.execute("UPDATE shards SET worker=NULL, lease_until=NULL")
            unsure = db.execute(
                "SELECT n, leased FROM shards WHERE part IS NULL AND leased > cost"
            ).fetchall()
            for number, leased in unsure:
                found = recount(state_name(number), leased)
                db.execute("UPDATE shards SET leased=? WHERE n=?", (found, number))

    def set_aside(self, shard: Shard, worker: str, funds: Funds, limit: int) -> Funded:
        """Money for the next jobs of a shard, within the limit on all shards; all in 1e-12 USD.

        A shard whose worker died keeps its money until it is taken up: it may have been spent.
        """
        with self._transaction() as db:
            spent, held, others = db.execute(
                "SELECT coalesce(sum(CASE WHEN part IS NULL THEN 0 ELSE cost END), 0), "
                "coalesce(sum(CASE WHEN part IS NULL THEN max(leased, cost) ELSE 0 END), 0), "
                "coalesce(sum(part IS NULL AND lease_until >= ?2 AND leased > cost), 0) "
                "FROM shards WHERE n != ?1",
                (shard.number, self._clock()),
            ).fetchone()
            free = int(limit - spent - held)
            parts = min(funds.wanted, free)
            if parts < funds.least:
                parts = funds.kept
            changed = db.execute(
                "UPDATE shards SET leased=?, cost=? "
                "WHERE n=? AND part IS NULL AND worker=? AND attempt=?",
                (parts, funds.sure, shard.number, worker, shard.attempt),
            ).rowcount
        if not changed:
            return Funded(funds.kept, is_lost=True)
        return Funded(parts, is_final=parts < funds.wanted and not others)

    def draw(self, worker: str, use: Use, rates: Rates) -> Grant:
        """Take in what a worker used of the rates, and grant what it needs."""
        with self._transaction() as db:
            row = db.execute("SELECT value FROM meta WHERE key='rates'").fetchone()
            shared = msgspec.json.decode(row[0], type=SharedRates) if row else SharedRates()
            grant = shared.draw(worker, use, rates, self._clock())
            said = msgspec.json.encode(shared).decode()
            db.execute("INSERT OR REPLACE INTO meta VALUES ('rates', ?)", (said,))
        return grant

    def commit(self, shard: Shard, worker: str, tally: Tally) -> bool:
        """Make an attempt's part the valid one; False when another was first.

        Calling it again is safe, as after a lost reply: the same attempt's part stays valid.
        """
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE shards SET part=?, worker=NULL, lease_until=NULL, leased=0, again=0, "
                "answers=?, failed=?, cut=?, input_tokens=?, output_tokens=?, cost=?, error=? "
                "WHERE n=? AND part IS NULL AND worker=? AND attempt=?",
                (shard.part, *msgspec.structs.astuple(tally), shard.number, worker, shard.attempt),
            ).rowcount
            part = db.execute("SELECT part FROM shards WHERE n=?", (shard.number,)).fetchone()
        return bool(changed) or part == (shard.part,)

    def reopen_failed(self) -> int:
        """Reopen shards with failures, for their failed rows only; returns how many."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE shards SET part=NULL, again=1, leased=cost, answers=0, failed=0, "
                "cut=0, input_tokens=0, output_tokens=0, error=NULL "
                "WHERE failed > 0 AND part IS NOT NULL"
            ).rowcount
        return int(changed)

    def parts(self) -> list[str | None]:
        """The part of each shard, in order; None where there is none yet."""
        return [part for (part,) in self._read("SELECT part FROM shards ORDER BY n")]

    def open_shards(self) -> int:
        """Shards without a part."""
        return int(self._read("SELECT count(*) FROM shards WHERE part IS NULL")[0][0])

    def tally(self) -> Tally:
        """What all parts hold together."""
        sums = self._read(
            "SELECT sum(answers), sum(failed), sum(cut), sum(input_tokens), sum(output_tokens), "
            "sum(cost) FROM shards"
        )[0]
        error = self._read("SELECT error FROM shards WHERE error IS NOT NULL ORDER BY n LIMIT 1")
        answers, failed, cut, used, written, cost = (int(each or 0) for each in sums)
        return Tally(answers, failed, cut, used, written, cost, error[0][0] if error else None)

    def reports(self) -> dict[str, dict[str, Any]]:
        """Each worker's latest report."""
        rows = self._read("SELECT name, report FROM workers ORDER BY name")
        return {name: orjson.loads(report) for name, report in rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()


def worker_name(number: int = 0) -> str:
    """A unique name for a worker."""
    return f"{os.uname().nodename}-{os.getpid()}-{number}-{os.urandom(3).hex()}"
