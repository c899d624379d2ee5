"""How a batch's run sends its requests: through the gateway itself, as its client would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import structs

from batchata.core.document import Document
from batchata.core.errors import OutcomeUnknownError, ProviderUnavailableError, ValidationError
from batchata.core.job import Job
from batchata.core.pacing import Quota
from batchata.core.result import Answer, Failure, Reason
from batchata.core.submission import Shape
from batchata.gateway.batches.records import BatchRecord
from batchata.gateway.proxy.http.forward import BROKE_OFF, TIMED_OUT, UNREACHABLE
from batchata.gateway.proxy.interceptors.budget import REFUSED
from batchata.gateway.proxy.reading.answer_facts import facts_of
from batchata.gateway.wire.vendors import Vendor
from batchata.ports import BackgroundAPI, BatchAPI, Codec, Encoded, FilesAPI, LiveAPI, LiveReply
from batchata.providers.anthropic.live import REQUEST_ID as ANTHROPIC_ID
from batchata.providers.control import Patience
from batchata.providers.failures import ACCOUNT_CODES, is_congestion
from batchata.providers.openai.codec import CHAT
from batchata.providers.openai.live import REQUEST_ID as OPENAI_ID
from batchata.providers.quotas import anthropic_quota, openai_quota
from batchata.providers.raw_requests import BodyCodec, RawJob
from batchata.providers.registry import create_provider
from batchata.providers.transport import Reply, Transport, read_refusal

#: codes that end a batch; the one that Anthropic gives every 403 is not among them
_STOPPING: Final = ACCOUNT_CODES - {"permission_error"}

#: sent by a server that is loading its model, or by a proxy whose server is away
_NOT_YET: Final = 503


class RelayCodec(BodyCodec):
    """Passes on requests and answers that only the server and its client need to understand.

    The run does not bound what a request may cost: the gateway's own limit checks each call.
    """

    def encode(self, job: Job, model: str, documents: Sequence[Document] = ()) -> Encoded:
        """The body that the job came with."""
        if not isinstance(job, RawJob):
            raise ValidationError(f"job {job.id!r} brings no request of its own")
        shape = Shape(provider=self._provider, endpoint=job.endpoint or CHAT, model=model)
        return Encoded(shape=shape, body=job.body, input_bound=len(job.body), output_bound=0)

    def decode(self, shape: Shape, body: bytes | msgspec.Raw) -> Answer | Failure:
        """The whole body as the answer's text, with its usage if that can be told."""
        answer = super().decode(shape, body)
        if isinstance(answer, Answer):
            return answer
        try:
            data = bytes(body)
            text = data.decode()
            msgspec.json.decode(data)
        except (UnicodeDecodeError, msgspec.DecodeError):
            return answer
        facts = facts_of(shape.endpoint, 200, data)
        return Answer(
            text=text,
            finish_reason="stop",
            usage=facts.usage,
            service_tier=facts.service_tier,
            price_factor=facts.price_factor,
        )


class Relay:
    """A provider for live calls with the headers of one client."""

    request_bytes: int | None = None

    def __init__(
        self, batch: BatchRecord, url: str, headers: Mapping[str, str], *, seconds: float
    ) -> None:
        self.name = batch.provider
        self.batch: BatchAPI | None = None
        self.background: BackgroundAPI | None = None
        self.files: FilesAPI | None = None
        self.codec: Codec = RelayCodec(create_provider(batch.provider).codec, batch.provider)
        self.live: LiveAPI | None = self
        self.refusal: str | None = None  #: of the account, so that no call will be answered
        self._vendor = batch.vendor
        self._base = url + batch.prefix
        self._headers = {
            **headers,
            **batch.headers,
            "Content-Type": "application/json",
            "Host": "localhost",
            "x-batchata-session-id": batch.id,
        }
        # timed by silence, as in the gateway: some servers send keep-alives until they answer
        self._transport = Transport(Patience(loading=seconds))

    async def send(self, shape: Shape, body: bytes) -> LiveReply:
        """Send one request; a failure's message holds what the server said."""
        reply = await self._transport.post(self._base + shape.endpoint, self._headers, body)
        quota = _quota(self._vendor, reply)
        if 200 <= reply.status < 300:
            request_id = reply.headers.get("x-request-id") or reply.headers.get("request-id")
            return LiveReply(quota, reply.body, None, request_id)
        name = ANTHROPIC_ID if self._vendor == "anthropic" else OPENAI_ID
        failure = read_refusal(reply, name)
        if failure.code == UNREACHABLE or reply.status == _NOT_YET:
            raise ProviderUnavailableError(failure.message)
        if failure.code in (BROKE_OFF, TIMED_OUT):
            raise OutcomeUnknownError(failure.message)
        told = structs.replace(failure, message=as_said(reply))
        if _is_of_one(reply, failure.code):
            told = structs.replace(told, reason=Reason.INVALID_REQUEST)
        if told.reason is Reason.ACCOUNT:
            self.refusal = told.message
        return LiveReply(quota, None, told, told.request_id, is_congestion(told, quota))

    async def aclose(self) -> None:
        """Close connections."""
        await self._transport.aclose()


def as_said(reply: Reply) -> str:
    """A refusal as it came: status and body."""
    return f"{reply.status} {reply.body.decode('utf-8', 'replace')}"


def _is_of_one(reply: Reply, code: str | None) -> bool:
    """True for a refusal that says nothing about other requests.

    Our limit's, as others may be cheaper, and a 403 that speaks of no money: of a moderated prompt,
    of a firewall on the way, of an interceptor.
    """
    is_ours = reply.headers.get(REFUSED) == "refused"
    return is_ours or (reply.status == 403 and code not in _STOPPING)


def _quota(vendor: Vendor, reply: Reply) -> Quota:
    return anthropic_quota(reply.headers) if vendor == "anthropic" else openai_quota(reply.headers)
