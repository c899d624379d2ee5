"""What the headers of requests say, worked out once for all requests with the same headers.

A client sends the same headers with every call, except for the length of the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from batchata.gateway.proxy.http.guard import SAFE, Guard
from batchata.gateway.proxy.http.headers import (
    Headers,
    Written,
    by_name,
    decoded,
    end_to_end,
    to_upstream,
)
from batchata.gateway.proxy.http.upstreams import KEY_HEADERS, Upstream, client_of
from batchata.gateway.proxy.telemetry.client_names import (
    AGENT_HEADERS,
    SESSION_HEADERS,
    TAG_HEADERS,
    id_of,
    named,
    tags_of,
    without_key,
)
from batchata.gateway.wire.errors import VendorError

RawHeaders = tuple[tuple[bytes, bytes], ...]
_LENGTH: Final = frozenset({b"Content-Length", b"content-length", b"CONTENT-LENGTH"})
#: how many are kept in memory, and how many bytes each may have
_MOST: Final = 256
_MOST_BYTES: Final = 8 * 1024


class _Onward(msgspec.Struct, frozen=True):
    """Headers for an upstream, parted where the length of the body goes."""

    upstream: Upstream
    refusal: VendorError | None
    before: Written
    length_name: str = ""  #: empty if they tell no length
    after: Written = Written.of(())


class Head:
    """The headers of one request or many, with the length left empty for each to fill in."""

    __slots__ = (
        "_guard",
        "_headers",
        "_onwards",
        "agent_id",
        "attempt",
        "client",
        "refusal",
        "session_id",
        "tags",
    )

    def __init__(self, headers: Headers, guard: Guard) -> None:
        self._headers = headers
        self._guard = guard
        self._onwards: dict[tuple[int, bool], _Onward] = {}
        found = by_name(headers)
        #: why a request with these headers may not come in at all
        self.refusal = _unfit(found) or guard.refusal(headers, found.get("host", ""))
        keys = [word for name in KEY_HEADERS for word in found.get(name, "").split()]
        self.session_id = id_of(named(found, SESSION_HEADERS), keys)
        self.agent_id = id_of(named(found, AGENT_HEADERS), keys)
        self.tags: Mapping[str, str] = {
            without_key(name, keys): without_key(value, keys)
            for name, value in tags_of(named(found, TAG_HEADERS)).items()
        }
        self.attempt = _attempt(found)
        #: stands for the client's key without revealing it
        self.client = client_of(guard.without_token(end_to_end(headers)))

    def onward(
        self, upstream: Upstream, method: str, length: str
    ) -> tuple[Written, VendorError | None]:
        """The headers for an upstream, and why a request of this method may not go on to it."""
        key = (id(upstream), method in SAFE)
        found = self._onwards.get(key)
        if found is None:
            found = self._onwards[key] = self._onward(upstream, method)
        before, name, after = found.before, found.length_name, found.after
        if not name:
            return before, found.refusal
        headers = (*before.headers, (name, length), *after.headers)
        lines = f"{before.lines}{name}: {length}\r\n{after.lines}"
        return Written(headers, lines, has_length=True), found.refusal

    def _onward(self, upstream: Upstream, method: str) -> _Onward:
        refusal = self._guard.refusal_of_key(method, self._headers, upstream)
        headers = upstream.with_key(self._guard.without_token(to_upstream(self._headers)))
        for place, (name, value) in enumerate(headers):
            if not value and _is_length(name):
                before, after = Written.of(headers[:place]), Written.of(headers[place + 1 :])
                return _Onward(upstream, refusal, before, name, after)
        return _Onward(upstream, refusal, Written.of(headers))


#: raw headers, parted where the length of the body goes, and what they say
_Parted = tuple[RawHeaders, bytes, RawHeaders, Head]


class Heads:
    """Remembers the headers of requests that may come in."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._known: dict[tuple[tuple[bytes, bytes] | bytes, ...], _Parted] = {}
        self._last: _Parted | None = None

    def of(self, raw: RawHeaders) -> Head:
        """What these headers say."""
        if self._last is not None:  # mostly it is the same client
            before, name, after, head = self._last
            place = len(before)
            is_parted = len(raw) > place and raw[place][0] == name
            if is_parted and raw[:place] == before and raw[place + 1 :] == after:
                return head
        key = tuple([each[0] if each[0] in _LENGTH else each for each in raw])
        found = self._known.get(key)
        if found is None:
            return self._made(raw, key)
        self._last = found
        return found[-1]

    def _made(self, raw: RawHeaders, key: tuple[tuple[bytes, bytes] | bytes, ...]) -> Head:
        blanked = [(name, b"" if name in _LENGTH else value) for name, value in raw]
        head = Head(decoded(blanked), self._guard)
        size = sum(len(name) + len(value) for name, value in raw)
        if head.refusal is None and size < _MOST_BYTES:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            place = next((n for n, each in enumerate(key) if isinstance(each, bytes)), len(raw))
            name = raw[place][0] if place < len(raw) else b""
            self._known[key] = raw[:place], name, raw[place + 1 :], head
        return head


def _unfit(found: Mapping[str, str]) -> VendorError | None:
    if found.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        return VendorError(
            status=501,
            message="the gateway takes no transfer encoding but chunked: use a content encoding",
        )
    if found.get("upgrade", "").strip().lower() == "websocket":
        return VendorError(
            status=501,
            message="the gateway does not relay WebSockets: connect to the vendor directly",
            code="websocket_not_supported",
        )
    return None


def _attempt(found: Mapping[str, str]) -> int:
    count = found.get("x-stainless-retry-count", "")
    return 1 + int(count) if count.isdigit() and len(count) < 4 else 1


def _is_length(name: str) -> bool:
    return name.encode("utf-8", "surrogateescape") in _LENGTH
