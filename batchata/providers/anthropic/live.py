"""Anthropic's messages endpoint through our own transport, fed by the SDK client's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchata.core.submission import Shape
from batchata.ports import LiveReply
from batchata.providers.anthropic.blocks import REQUEST_BYTES
from batchata.providers.connection import Connection
from batchata.providers.control import Patience
from batchata.providers.failures import is_congestion
from batchata.providers.quotas import anthropic_quota
from batchata.providers.transport import Transport, read_refusal

REQUEST_ID: Final = "request-id"  #: the header that names a call


class AnthropicLive:
    """Messages, one question a call."""

    request_bytes = REQUEST_BYTES

    def __init__(self, connection: Connection, transport: Transport, patience: Patience) -> None:
        self._connection = connection
        self._transport = transport
        self._seconds = patience.answering
        self._base = self._query = ""
        self._headers: Mapping[str, str] = {}
        self._by_version: dict[str, Mapping[str, str]] = {}

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask one question."""
        if await self._connection.has_new_key() or not self._base:
            self._by_version.clear()
            self._base, self._query = self._connection.base_url, self._connection.query
            self._headers = self._connection.headers
        headers = self._by_version.get(shape.wire_version)
        if headers is None:
            headers = {
                name: value
                for name, value in self._headers.items()
                if name.lower() != "anthropic-version"
            }
            headers["anthropic-version"] = shape.wire_version
            self._by_version[shape.wire_version] = headers
        reply = await self._transport.post(
            self._base + shape.endpoint + self._query, headers, body, seconds=self._seconds
        )
        quota = anthropic_quota(reply.headers)
        request_id = reply.headers.get(REQUEST_ID)
        if 200 <= reply.status < 300:
            return LiveReply(quota, reply.body, None, request_id)
        failure = read_refusal(reply, REQUEST_ID)
        return LiveReply(quota, None, failure, request_id, is_congestion(failure, quota))
