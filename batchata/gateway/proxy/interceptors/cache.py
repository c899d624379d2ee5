"""`cache`: the same question is not paid twice."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import orjson

from batchata.core.errors import ResultsError
from batchata.gateway.proxy.cassette import body_key
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.headers import first
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Respond
from batchata.gateway.proxy.interceptors.message_logger import logged
from batchata.stores.files import closed_on_error

_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, at REAL NOT NULL, "
    "status INTEGER NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL)"
)


class Cache(Interceptor):
    """Answers equal questions of the same client from `file`; only whole, good answers are kept.

    `ttl_seconds` is how long an answer holds, `shared` lets clients with other keys have it too.
    """

    name = "cache"
    wants_pieces = True
    options: ClassVar = {
        "file": "./gateway_cache.db",
        "ttl_seconds": 7 * 86_400,
        "max_entries": 100_000,
        "shared": False,
    }
    file: str
    ttl_seconds: float
    max_entries: int
    shared: bool

    async def start(self) -> None:
        """Open the file."""
        path = Path(self.file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None)
            with closed_on_error(self._db):
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise ResultsError(
                f"the cache {self.file!r} cannot be used: {error}",
                hint="choose another file for the interceptor 'cache'",
            ) from error
        self._added = 0
        self.hits = 0

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Answer what is known."""
        if exchange.endpoint is None or exchange.json is None:
            return CONTINUE
        row = self._db.execute(
            "SELECT status, headers, body FROM answers WHERE key=? AND at>?",
            (self._key(exchange), time.time() - self.ttl_seconds),
        ).fetchone()
        if row is None:
            return CONTINUE
        self.hits += 1
        headers = (*orjson.loads(row[1]).items(), ("x-batchata-cache", "hit"))
        return Respond(status=row[0], headers=headers, body=row[2])

    def gauges(self) -> Mapping[str, float]:
        """How often an answer was known."""
        return {"hits": self.hits}

    async def on_response(self, exchange: Exchange) -> None:
        """Keep what is whole and good."""
        answered = exchange.answer
        if exchange.endpoint is None or exchange.json is None or answered is None:
            return
        if answered.source != "upstream" or not answered.is_success or not answered.body:
            return
        headers = logged(answered.headers)
        encoding = first(answered.headers, "content-encoding")
        if encoding:
            headers["content-encoding"] = encoding
        headers.pop("content-length", None)
        values = (self._key(exchange), time.time(), answered.status, orjson.dumps(headers))
        self._db.execute(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)", (*values, answered.body)
        )
        self._added += 1
        if self._added % 1000 == 0:
            self._trim()

    async def aclose(self) -> None:
        """Close the file."""
        self._trim()
        self._db.close()

    def _trim(self) -> None:
        self._db.execute("DELETE FROM answers WHERE at<?", (time.time() - self.ttl_seconds,))
        self._db.execute(
            "DELETE FROM answers WHERE key IN "
            "(SELECT key FROM answers ORDER BY at DESC LIMIT -1 OFFSET ?)",
            (self.max_entries,),
        )

    def _key(self, exchange: Exchange) -> bytes:
        owner = "" if self.shared else exchange.client
        accepted = first(exchange.headers, "accept-encoding")
        return body_key(exchange, owner, accepted)
