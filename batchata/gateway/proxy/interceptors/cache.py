"""`cache`: the same question is not paid for twice."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final

import orjson
from pydantic import Field

from batchata.core.errors import StateError
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import first
from batchata.gateway.proxy.interceptor import CONTINUE, Interceptor, Outcome, Respond
from batchata.gateway.proxy.interceptors.message_logger import logged
from batchata.gateway.proxy.tape.cassette import body_key
from batchata.stores.sqlite_file import FileKind, SqliteFile

_KIND: Final = FileKind(
    name="gateway cache",
    application_id=0x62746763,  # "btgc"
    version=1,
    instead="the option 'file' of the interceptor 'cache'",
    durability="NORMAL",  # a lost entry is only asked again
    tables="""
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, at REAL NOT NULL, status INTEGER NOT NULL, headers BLOB NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS answers_by_time ON answers (at);
""",
)
#: answers added between searches for old ones: a few are deleted in milliseconds
_TRIM_EVERY: Final = 100


class Cache(Interceptor):
    """Answers equal questions of the same client from `file`; only whole, good answers are kept.

    `ttl_seconds` is how long an answer stays valid, `shared` gives it to clients with other keys.
    """

    name = "cache"
    wants_pieces = True
    options: ClassVar = {
        "file": "./gateway_cache.db",
        "ttl_seconds": 7 * 86_400,
        "max_entries": 100_000,
        "shared": False,
    }
    file: str | Path
    ttl_seconds: Annotated[float, Field(ge=0)]  #: how long an answer stays valid
    max_entries: Annotated[int, Field(ge=1)]  #: the oldest go first
    shared: bool  #: give answers to clients with other keys too

    async def start(self) -> None:
        """Open the file."""
        path = Path(self.file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StateError(
                f"the cache {str(path)!r} cannot be used: {error}",
                hint=f"name another file: {_KIND.instead}",
            ) from error
        self._answers = SqliteFile(path, _KIND)
        self._added = 0
        self.hits = 0

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Answer from the file what it holds."""
        if exchange.endpoint is None or exchange.json is None:
            return CONTINUE
        known = self._answers.rows(
            "SELECT status, headers, body FROM answers WHERE key=? AND at>?",
            (self._key(exchange), time.time() - self.ttl_seconds),
        )
        if not known:
            return CONTINUE
        self.hits += 1
        status, headers, body = known[0]
        marked = (*orjson.loads(headers).items(), ("x-batchata-cache", "hit"))
        return Respond(status=status, headers=marked, body=body)

    def gauges(self) -> Mapping[str, float]:
        """How often the file held an answer."""
        return {"hits": self.hits}

    async def on_response(self, exchange: Exchange) -> None:
        """Keep an answer that is whole and good."""
        answered = exchange.answer
        if exchange.endpoint is None or exchange.json is None or answered is None:
            return
        if answered.source != "upstream" or not answered.is_success or not answered.body:
            return
        if answered.finish_reason == "error" or (answered.is_stream and not answered.finish_reason):
            return  # it broke off, whatever its status
        headers = logged(answered.headers)
        encoding = first(answered.headers, "content-encoding")
        if encoding:
            headers["content-encoding"] = encoding
        headers.pop("content-length", None)
        values = (self._key(exchange), time.time(), answered.status, orjson.dumps(headers))
        self._answers.write(
            "INSERT OR REPLACE INTO answers VALUES (?,?,?,?,?)", (*values, answered.body)
        )
        self._added += 1
        if self._added % _TRIM_EVERY == 0:
            self._trim()

    async def aclose(self) -> None:
        """Close the file."""
        self._trim()
        self._answers.close()

    def _trim(self) -> None:
        self._answers.write("DELETE FROM answers WHERE at<?", (time.time() - self.ttl_seconds,))
        self._answers.write(
            "DELETE FROM answers WHERE rowid IN "
            "(SELECT rowid FROM answers ORDER BY at DESC LIMIT -1 OFFSET ?)",
            (self.max_entries,),
        )

    def _key(self, exchange: Exchange) -> bytes:
        owner = "" if self.shared else exchange.client
        accepted = first(exchange.headers, "accept-encoding")
        return body_key(exchange, owner, accepted)
