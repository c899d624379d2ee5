"""One proxied request and its answer, as interceptors see them."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal
from urllib.parse import unquote

import msgspec

from batchata.core.usage import Usage
from batchata.gateway.proxy.http.headers import Headers, Written
from batchata.gateway.proxy.http.spilled import Spilled
from batchata.gateway.proxy.http.upstreams import SEVERAL_KEYS, Upstream
from batchata.gateway.proxy.reading.tools import ToolCall, ToolResult
from batchata.gateway.proxy.telemetry.history import History
from batchata.gateway.wire.vendors import Vendor

CHAT: Final = "/v1/chat/completions"
RESPONSES: Final = "/v1/responses"
EMBEDDINGS: Final = "/v1/embeddings"
COMPLETIONS: Final = "/v1/completions"
MESSAGES: Final = "/v1/messages"
#: paths that ask a model a question
MODEL_ENDPOINTS: Final = frozenset({CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MESSAGES})
#: the same by path: not all servers that speak OpenAI's protocol have a `/v1`
QUESTIONS: Final = {each: each for each in MODEL_ENDPOINTS} | {
    each.removeprefix("/v1"): each for each in MODEL_ENDPOINTS - {MESSAGES}
}
#: how Azure's paths begin, with or without a deployment in them
_AZURE: Final = re.compile(r"/openai(?:/v1|/deployments/([^/]+))?(?=/)")

Ending = Literal["answered", "disconnected", "unreachable", "broken"]


def vendor_path(path: str) -> tuple[str, str]:
    """A path of Azure's as OpenAI writes it, and the deployment that it names; others as they are.

    The deployment decides which model answers, whatever model the body names.
    """
    found = _AZURE.match(path)
    if found is None:
        return path, ""
    return f"/v1{path[found.end() :]}", unquote(found.group(1) or "")


class AnswerFacts(msgspec.Struct, kw_only=True, eq=False):
    """What an answer says about itself: the parts that sessions, prices and events need."""

    usage: Usage | None = None
    model: str = ""
    text: str = ""
    choices: tuple[str, ...] = ()  #: texts of the second choice and of those after it
    thinking: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    price_factor: Decimal = Decimal(1)  #: what prices are multiplied by for the region that made it
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()  #: of tools that the vendor itself ran
    error: str | None = None
    error_type: str | None = None


class Answered(AnswerFacts, kw_only=True, eq=False):
    """What came back for an exchange; numbers are None where they are unknown."""

    status: int
    headers: Headers = ()
    body: bytes | None = None  #: as it came; None when too large to be kept
    #: pieces of the body with the seconds after the request at which they came
    pieces: list[tuple[float, bytes]] = []
    is_stream: bool = False
    source: str = "upstream"  #: or the name of the interceptor that answered
    ending: Ending = "answered"
    cost_usd: Decimal | None = None
    request_id: str | None = None
    first_byte_seconds: float | None = None
    seconds: float = 0.0

    @property
    def is_success(self) -> bool:
        """True for a whole answer with a status below 400 and no error in its stream."""
        return self.status < 400 and self.ending == "answered" and self.error is None


class SetAside(msgspec.Struct, frozen=True):
    """What a limit has set aside for a call that may end in another process."""

    ledger: str  #: the state file of the limit
    purses: tuple[tuple[str, str], ...]  #: scope and name of each
    parts: int  #: 1e-12 USD


class Exchange(msgspec.Struct, kw_only=True, eq=False):
    """One proxied request; `answer` is there once it has ended."""

    id: str
    number: int  #: counts up in the order of arrival
    began_us: int  #: µs since the epoch
    began_seconds: float = 0.0  #: the same by the monotonic clock
    method: str
    target: str  #: path and query for the upstream, as the client wrote them
    path: str  #: of the target, without the query and the upstream's prefix
    headers: Headers  #: for the upstream
    written: Written | None = None  #: the same as they came, for whoever sends them
    body: bytes | None  #: None when it is not JSON, or too large to be looked at
    json: Mapping[str, Any] | None = None  #: of a body on disk only the short fields
    spilled: Spilled | None = None  #: a body that is too large for memory
    upstream: Upstream
    endpoint: str | None = None  #: one of MODEL_ENDPOINTS
    model: str = ""
    session_id: str = ""
    agent_id: str = ""
    tags: Mapping[str, str] = {}
    attempt: int = 1
    client: str = ""  #: stands for the client's key without revealing it
    is_new_session: bool = False
    is_unread: bool = False  #: it has a body that was not looked through here
    is_rewritten: bool = False  #: `body` is sent instead of what the client sent
    is_sent: bool = False  #: the upstream may have seen it
    is_on_flex: bool = False  #: the gateway has put it on the half-price tier
    is_ended: bool = False
    nth: int = 0  #: counts equal requests, if a cassette does
    set_aside: SetAside | None = None
    history: History | None = None  #: the turns that the client sent
    answer: Answered | None = None
    vendor: Vendor = "openai"  #: whose protocol it speaks; follows from path and upstream
    provider: str = ""  #: whose prices apply

    def __post_init__(self) -> None:
        upstream = self.upstream
        self.vendor = vendor = self.vendor_of(self.path, upstream)
        self.provider = upstream.provider or vendor

    @staticmethod
    def vendor_of(path: str, upstream: Upstream) -> Vendor:
        """Whose protocol a path of an upstream speaks."""
        return "anthropic" if path.startswith(MESSAGES) else upstream.type

    def __repr__(self) -> str:
        """Leaves out headers and body, where keys are: this ends up in logs and tracebacks."""
        return f"Exchange({self.id!r}, {self.method} {self.path!r}, model={self.model!r})"

    @property
    def has_several_keys(self) -> bool:
        """True when the client sends more than one key, of which the upstream uses one."""
        return self.client.startswith(SEVERAL_KEYS)

    @property
    def is_stream(self) -> bool:
        """True when the client asked for server-sent events."""
        return self.json is not None and self.json.get("stream") is True
