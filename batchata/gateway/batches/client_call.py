"""A call to the batch APIs: whose it is, and the headers that a batch made by it is sent with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from aiohttp import web

from batchata.gateway.batches.records import KEPT_HEADERS, BatchRecord, Idempotency
from batchata.gateway.batches.runner import BatchRunner
from batchata.gateway.batches.store import BatchStore
from batchata.gateway.proxy.http.guard import TOKEN_HEADER
from batchata.gateway.proxy.http.headers import Headers, by_name
from batchata.gateway.proxy.http.upstreams import KEY_HEADERS, Upstream
from batchata.gateway.proxy.reading.sse import whole
from batchata.gateway.wire.errors import RefusedError, VendorError, invalid
from batchata.gateway.wire.vendors import Vendor

#: seconds during which an SDK may keep retrying
_AGAIN_SECONDS: Final = 1_800.0
_PIECE: Final = 256 * 1024
_SECRETS: Final = (*sorted(KEY_HEADERS), TOKEN_HEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCall:
    """One request to a batch API, with everything needed to answer it."""

    request: web.BaseRequest
    upstream: Upstream
    owner: str  #: digest of the client's own key; empty where the gateway has the key
    url: str  #: of this gateway as the client sees it, with the upstream's prefix
    found: Mapping[str, str]  #: headers by name
    store: BatchStore
    runner: BatchRunner

    async def body(self, most_bytes: int) -> bytes:
        """The request's body; the vendor's 413 when it is larger."""
        pieces = bytearray()
        async for piece in self.request.content.iter_chunked(_PIECE):
            pieces += piece
            if len(pieces) > most_bytes:
                message = f"Request exceeds the maximum size of {most_bytes} bytes"
                raise RefusedError(VendorError(status=413, message=message))
        data = whole(bytes(pieces), self.found.get("content-encoding", ""), most_bytes)
        if data is None:
            raise invalid("The request's content encoding cannot be decoded.")
        return data

    def once(self, body: bytes) -> Idempotency:
        """What a repeated create call is recognised by."""
        key = self.found.get("idempotency-key", "")
        return Idempotency(_digest(key.encode("utf-8", "replace")) if key else "", _digest(body))

    def made_before(self, vendor: Vendor, once: Idempotency) -> BatchRecord | None:
        """The batch of an earlier create call that had the same key, or that an SDK is retrying.

        Raises RefusedError, a 409, if the key was used for another request.
        """
        mine = self.store.batches_of(self.owner, vendor)
        if not once.key:
            since = self.store.now() - _AGAIN_SECONDS if self._is_tried_again else math.inf
            again = (each for each in mine if each.once == once and each.created_at >= since)
            return next(again, None)
        found = next((each for each in mine if each.once and each.once.key == once.key), None)
        if found is not None and found.once != once:
            message = f"This Idempotency-Key was used for another request, which made {found.id}."
            code = "idempotency_key_in_use"
            raise RefusedError(VendorError(status=409, message=message, code=code))
        return found

    @property
    def _is_tried_again(self) -> bool:
        """True if the client's SDK is retrying this call after losing its answer."""
        return self.found.get("x-stainless-retry-count", "0") != "0"

    @property
    def kept_headers(self) -> dict[str, str]:
        """The headers that the requests of a batch are sent with, besides the key."""
        return {name: self.found[name] for name in KEPT_HEADERS if self.found.get(name)}


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def secrets_of(headers: Headers) -> dict[str, str]:
    """The headers that a client authenticates with."""
    found = by_name(headers)
    return {name: found[name] for name in _SECRETS if found.get(name)}
