"""A vendor that answers later, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from batchata.core.errors import OutcomeUnknownError, ProviderRejectedError, ValidationError
from batchata.core.pacing import Quota
from batchata.core.submission import Shape
from batchata.ports import LiveReply, ResponseLook
from batchata.testing.fake_codec import ENDPOINT, answer_body
from batchata.testing.scripted import ScriptedCalls


@dataclass(slots=True)
class FakeResponse:
    """One response at the fake vendor."""

    id: str
    request: dict[str, Any]
    looks: int = 0
    is_cancelled: bool = False


@dataclass(slots=True, kw_only=True)
class FakeBackgroundAPI(ScriptedCalls):
    """Answers each request when it was looked at `looks_needed` times.

    A response that a test takes out of `responses` has expired.
    """

    endpoint: str = ENDPOINT
    request_bytes: int | None = None
    poll_seconds: float = 2.0
    poll_after_seconds: float | None = None  #: the pace it names
    looks_needed: int = 1
    responses: dict[str, FakeResponse] = field(default_factory=dict)
    _made: int = 0

    def check(self, shape: Shape, body: bytes) -> None:
        """Raise ValidationError for another endpoint, or for what is not to be stored."""
        if shape.endpoint != self.endpoint:
            raise ValidationError(f"{shape.endpoint} does not answer in the background")
        if orjson.loads(body).get("store") is False:
            raise ValidationError("what is not stored cannot be fetched later")

    def id_of(self, body: bytes) -> str:
        """The id of the response that was begun."""
        try:
            return str(msgspec.json.decode(body, type=dict[str, Any])["id"])
        except (msgspec.DecodeError, KeyError) as error:
            raise OutcomeUnknownError(f"the answer names no response: {error}") from error

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Begin a response."""
        begun = await self._do("send", lambda: self._begin(body))
        wait = self.poll_after_seconds
        return LiveReply(Quota(), orjson.dumps({"id": begun.id}), poll_after_seconds=wait)

    async def retrieve(self, response_id: str) -> ResponseLook:
        """How far it is; each look brings it on."""
        return await self._do("retrieve", lambda: self._seen(self._known(response_id)))

    async def cancel(self, response_id: str) -> None:
        """Stop it; one that has ended stays as it is."""
        await self._do("cancel", lambda: self._stop(self._known(response_id)))

    def _begin(self, body: bytes) -> FakeResponse:
        self._made += 1
        begun = FakeResponse(f"fake-response-{self._made}", orjson.loads(body))
        self.responses[begun.id] = begun
        return begun

    def _known(self, response_id: str) -> FakeResponse:
        found = self.responses.get(response_id)
        if found is None:
            raise ProviderRejectedError(f"there is no response {response_id!r}", status=404)
        return found

    def _seen(self, response: FakeResponse) -> ResponseLook:
        response.looks += 1
        if response.is_cancelled:
            return ResponseLook("cancelled", True, answer_body("", None, "cancelled"))
        if response.looks < self.looks_needed:
            return ResponseLook("in_progress", False, b"{}", self.poll_after_seconds)
        return ResponseLook("completed", True, answer_body(f"hi {response.request['prompt']}"))

    def _stop(self, response: FakeResponse) -> None:
        response.is_cancelled = response.is_cancelled or response.looks < self.looks_needed
