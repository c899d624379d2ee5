"""Who may use the gateway: this machine's programs, or those with the token."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from batchata.gateway.proxy.http.headers import Headers, end_to_end, first
from batchata.gateway.proxy.http.upstreams import Upstream, has_key
from batchata.gateway.wire.errors import VendorError

TOKEN_HEADER: Final = "x-batchata-token"
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
#: methods that change nothing upstream
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: content types that a web page may send across sites without a preflight
_SIMPLE: Final = ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Decides which requests may come in, and which may go on without a key of their own."""

    token: str | None
    allowed_hosts: frozenset[str]
    is_loopback: bool

    def refusal(self, headers: Headers, host: str) -> VendorError | None:
        """Why a request may not come in at all; None when it may."""
        if host and not self._is_known(host):  # every browser sends one; health checks may not
            return VendorError(
                status=421,
                message=f"the gateway does not answer for host {host!r}: add it to allowed_hosts",
                code="unknown_host",
            )
        if self.token is not None and not self._has_token(headers):
            return VendorError(
                status=401,
                message="the gateway needs its client token as a Bearer token, x-api-key or "
                f"{TOKEN_HEADER}",
                code="invalid_api_key",
            )
        return None

    def refusal_of_key(
        self, method: str, headers: Headers, upstream: Upstream
    ) -> VendorError | None:
        """Why a request without a key may not go on, be it with ours or to an upstream that needs
        none; None when it may.
        """
        is_safe = method in SAFE
        origin = first(headers, "origin")
        if self.token is not None or (upstream.api_key is None and (is_safe or not origin)):
            return None
        if has_key(end_to_end(headers)):
            return None
        is_foreign = bool(origin) and not self._is_known(origin.partition("://")[2])
        if is_foreign:
            return VendorError(
                status=403,
                message=f"pages of {origin} may not use the gateway without a key of their own: "
                "send one, or add the page's host to allowed_hosts",
                code="cross_site_request",
            )
        if is_safe or upstream.api_key is None:
            return None
        kind = first(headers, "content-type").partition(";")[0].strip().lower()
        is_custom = bool(first(headers, TOKEN_HEADER) or first(headers, "x-batchata-session-id"))
        if kind in _SIMPLE and not is_custom:
            return VendorError(
                status=403,
                message=f"a request of type {kind or 'none'!r} does not get the gateway's key: "
                "any web page could send it: send application/json",
                code="cross_site_request",
            )
        return None

    def without_token(self, headers: Headers) -> Headers:
        """The headers for the upstream, without our token under any name."""
        if self.token is None:
            return headers
        return tuple([each for each in headers if not self._is_token(each[1])])

    def _has_token(self, headers: Headers) -> bool:
        names = (TOKEN_HEADER, "authorization", "x-api-key", "api-key")
        return any(name.lower() in names and self._is_token(value) for name, value in headers)

    def _is_token(self, value: str) -> bool:
        scheme, _, rest = value.strip().partition(" ")
        text = rest if scheme.lower() == "bearer" else value
        given = text.strip().encode("utf-8", "surrogateescape")
        return self.token is not None and hmac.compare_digest(given, self.token.encode())

    def _is_known(self, host: str) -> bool:
        name = host.lower()
        name = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
        name = name.removesuffix(".")  # with it, it is the same name
        if name in self.allowed_hosts or host.lower() in self.allowed_hosts:
            return True
        # with a token, DNS rebinding is of no use to anybody
        return name in _LOCAL or (not self.is_loopback and not self.allowed_hosts)
