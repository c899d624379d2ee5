"""OpenAI's live endpoints through our own transport, fed by the SDK client's settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from batchata.core.submission import Shape
from batchata.ports import LiveReply
from batchata.providers.connection import Connection
from batchata.providers.control import Patience
from batchata.providers.failures import is_congestion
from batchata.providers.quotas import openai_quota
from batchata.providers.transport import Transport, read_refusal

REQUEST_ID: Final = "x-request-id"  #: the header that names a call


class OpenAILive:
    """Chat completions, responses and embeddings, one question a call."""

    request_bytes: int | None = None

    def __init__(self, connection: Connection, transport: Transport, patience: Patience) -> None:
        self._connection = connection
        self._transport = transport
        self._seconds = patience.answering
        self._base = self._query = ""
        self._headers: Mapping[str, str] = {}
        self._names_deployments = False

    def _path(self, shape: Shape) -> str:
        path = shape.endpoint.removeprefix("/v1")
        if self._names_deployments and path != "/responses":
            return f"/deployments/{quote(shape.model, safe='')}{path}"
        return path

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Ask one question."""
        if await self._connection.has_new_key() or not self._base:
            self._base, self._query = self._connection.base_url, self._connection.query
            self._headers = self._connection.headers
            self._names_deployments = self._connection.names_deployments
        reply = await self._transport.post(
            self._base + self._path(shape) + self._query,
            self._headers,
            body,
            seconds=self._seconds,
        )
        quota = openai_quota(reply.headers)
        if 200 <= reply.status < 300:
            return LiveReply(quota, reply.body, None, reply.headers.get(REQUEST_ID))
        failure = read_refusal(reply, REQUEST_ID)
        return LiveReply(
            quota,
            None,
            failure,
            failure.request_id,
            is_congestion(failure, quota),
        )
