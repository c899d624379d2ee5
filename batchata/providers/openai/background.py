"""OpenAI's background responses. Source: OpenAI guide, Background mode."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
import orjson

from batchata.core.errors import OutcomeUnknownError, ProviderUnavailableError, ValidationError
from batchata.core.submission import Shape
from batchata.ports import LiveReply, ResponseLook
from batchata.providers.connection import Connection
from batchata.providers.control import Patience, strange_answer
from batchata.providers.failures import error_words, is_congestion
from batchata.providers.openai.codec import RESPONSES
from batchata.providers.openai.live import REQUEST_ID
from batchata.providers.quotas import openai_quota
from batchata.providers.transport import Reply, Transport, read_refusal

log = logging.getLogger("batchata.providers.openai")

_FINAL: Final = frozenset({"completed", "failed", "incomplete", "cancelled"})
_OPEN: Final = frozenset({"queued", "in_progress"})
_FLAGS: Final = b',"background":true,"store":true}'
#: how long a vendor may be told to be left alone; more is taken for a mistake
_LONGEST_WAIT: Final = 3600.0


class _Asked(msgspec.Struct):
    """The fields of a request that concern background mode."""

    store: Any = msgspec.UNSET
    background: Any = msgspec.UNSET


class _Begun(msgspec.Struct):
    id: str
    status: str | None = None


_asked = msgspec.json.Decoder(_Asked).decode
_begun = msgspec.json.Decoder(_Begun).decode


class OpenAIBackground:
    """Starts responses, polls and cancels them."""

    request_bytes: int | None = None
    endpoint = RESPONSES
    poll_seconds = 2.0

    def __init__(self, connection: Connection, transport: Transport, patience: Patience) -> None:
        self._connection = connection
        self._transport = transport
        self._seconds = patience.asking
        self._sending_seconds = patience.sending
        self._base = self._query = ""
        self._headers: Mapping[str, str] = {}
        self._reading: Mapping[str, str] = {}
        self._strange: set[str] = set()  #: status words that were told of

    def check(self, shape: Shape, body: bytes) -> None:
        """Raise ValidationError for a job that cannot be asked in the background."""
        if shape.endpoint != self.endpoint:
            raise ValidationError(
                f"only responses are made in the background, not {shape.endpoint}",
                hint='leave endpoint out, or write endpoint="responses"',
            )
        if _asked(body).store is False:
            raise ValidationError(
                "store=False: the vendor forgets the answer after ten minutes, fetched or not",
                hint='leave store out, or use set_route("live") for what must not be stored',
            )

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Begin a response; a refusal that may come from on the way is an unknown outcome."""
        await self._connect()
        url = self._base + shape.endpoint.removeprefix("/v1") + self._query
        reply = await self._transport.post(
            url, self._headers, in_background(body), seconds=self._sending_seconds
        )
        quota = openai_quota(reply.headers)
        if 200 <= reply.status < 300:
            request_id = reply.headers.get("x-request-id")
            wait = poll_after_seconds(reply.headers)
            return LiveReply(quota, reply.body, None, request_id, poll_after_seconds=wait)
        if not _is_sure(reply):
            _, said = error_words(reply.body)
            raise OutcomeUnknownError(
                f"{url} answered {reply.status}: {said}; the response may have been begun",
                status=reply.status,
            )
        failure = read_refusal(reply, REQUEST_ID)
        return LiveReply(quota, None, failure, failure.request_id, is_congestion(failure, quota))

    def id_of(self, body: bytes) -> str:
        """The id of the response that was begun."""
        try:
            return _begun(body).id
        except (ValueError, RecursionError) as error:
            raise strange_answer("OpenAI", error, creating=True) from error

    async def retrieve(self, response_id: str) -> ResponseLook:
        """Poll a response."""
        await self._connect()
        reply = await self._transport.get(
            self._url(response_id), self._reading, seconds=self._seconds
        )
        try:
            found = _begun(reply.body)
        except (ValueError, RecursionError) as error:
            raise strange_answer("OpenAI", error, creating=False) from error
        if found.id != response_id:
            raise strange_answer("OpenAI", f"{found.id}, not {response_id}", creating=False)
        word = (found.status or "").lower()
        if word not in _FINAL | _OPEN and word not in self._strange:
            self._strange.add(word)
            log.warning("response %s has the unknown status %r: waiting on", response_id, word)
        return ResponseLook(word, word in _FINAL, reply.body, poll_after_seconds(reply.headers))

    async def cancel(self, response_id: str) -> None:
        """Ask the vendor to stop; one that has ended already is left as it is."""
        await self._connect()
        url = self._url(response_id, "/cancel")
        reply = await self._transport.post(url, self._headers, b"{}", seconds=self._seconds)
        if reply.status == 429 or reply.status >= 500:
            _, said = error_words(reply.body)
            raise ProviderUnavailableError(f"{url} answered {reply.status}: {said}")
        if reply.status >= 400:
            log.info("response %s was not cancelled: %d", response_id, reply.status)

    def _url(self, response_id: str, action: str = "") -> str:
        return f"{self._base}/responses/{quote(response_id, safe='')}{action}{self._query}"

    async def _connect(self) -> None:
        if await self._connection.has_new_key() or not self._base:
            self._base, self._query = self._connection.base_url, self._connection.query
            self._headers = self._connection.headers
            self._reading = self._connection.reading_headers


def in_background(body: bytes) -> bytes:
    """A request for a response, to be made in the background and stored."""
    asked = _asked(body)
    if asked.store is msgspec.UNSET and asked.background is msgspec.UNSET:
        return body[: body.rindex(b"}")] + _FLAGS
    return orjson.dumps({**orjson.loads(body), "background": True, "store": True})


def _is_sure(reply: Reply) -> bool:
    """True for a refusal of the vendor's own, before it began anything.

    A 503 in its words is an overload; one of a proxy's, like any other 5xx, 408 and 409, may
    hide a response that was begun, and there is no listing of responses to look in.
    """
    if reply.status == 503:
        return error_words(reply.body)[0] is not None
    return reply.status < 500 and reply.status not in (408, 409)


def poll_after_seconds(headers: Mapping[str, str]) -> float | None:
    """What `openai-poll-after-ms` asks for, in seconds; None where it says nothing."""
    try:
        value = float(headers.get("openai-poll-after-ms", ""))
    except ValueError:
        return None
    return min(max(value / 1000, 0.0), _LONGEST_WAIT) if value == value else None
