"""The contract of interceptors: what may look at an exchange, change it or stop it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from batchata.core.errors import ValidationError
from batchata.gateway.proxy.config.options import check_hooks, checked_options
from batchata.gateway.proxy.exchange import Exchange
from batchata.gateway.proxy.http.headers import Headers
from batchata.gateway.proxy.telemetry.events import GatewayEvent
from batchata.ports import PriceBook

_NO_LINE: Final = re.compile(r"[\r\n\0]")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Continue:
    """Let the request go on as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Let it go on with another body or other headers; None leaves them as they are.

    Host, length and all else about the connection follow from the upstream and the body, whatever
    `headers` says.
    """

    body: bytes | None = None
    headers: Headers | None = None

    def __post_init__(self) -> None:
        """Raise ValidationError for what a request cannot have."""
        _check(self.body, self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Answer it here; the upstream is not asked."""

    status: int = 200
    headers: Headers = (("Content-Type", "application/json"),)
    body: bytes = b""
    #: instead of `body`: pieces, each after so many seconds
    pieces: tuple[tuple[float, bytes], ...] = ()
    is_cut: bool = False  #: cut the connection after the pieces, as if the answer were not whole

    def __post_init__(self) -> None:
        """Raise ValidationError for what no answer can have."""
        _check(self.body, self.headers, self.status)
        for _, piece in self.pieces:
            _check(piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Refuse it with an error in the vendor's own shape."""

    message: str
    status: int = 403
    code: str | None = None
    headers: Headers = ()

    def __post_init__(self) -> None:
        """Raise ValidationError for what no answer can have."""
        if not isinstance(self.message, str):
            raise ValidationError(
                f"a message is text, not {type(self.message).__name__}",
                hint='write Reject(message="...")',
            )
        _check(None, self.headers, self.status)


def _check(body: object, headers: object = (), status: object = 200) -> None:
    if body is not None and not isinstance(body, bytes):
        raise ValidationError(
            f"a body is bytes, not {type(body).__name__}", hint="write json.dumps(...).encode()"
        )
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise ValidationError(f"an answer cannot have the status {status!r}", hint="200 to 599")
    pairs = () if headers is None else headers
    if not isinstance(pairs, (tuple, list)) or not all(map(is_header, pairs)):
        raise ValidationError(
            "headers are pairs of a name and a one-line text",
            hint='write (("Content-Type", "text/plain"),)',
        )


def is_header(pair: object) -> bool:
    """True for a name and a value that a header can have."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        return False
    name, value = pair
    is_text = isinstance(name, str) and isinstance(value, str)
    return is_text and bool(_NAME.fullmatch(name)) and _NO_LINE.search(value) is None


Outcome = Continue | Replace | Respond | Reject
CONTINUE = Continue()


class Interceptor:
    """Sees every exchange. Subclass it and override what you need.

    A policy (`is_policy`) stands in the way: when it raises, the request is refused. An observer
    that raises is logged and passed over. `on_event` is called off the request's path.
    """

    name: ClassVar[str] = ""
    is_policy: ClassVar[bool] = False
    #: True to be asked after all others, about what is really sent
    is_last: ClassVar[bool] = False
    #: True if `on_response` awaits nothing: then the end of a call needs no task of its own
    ends_at_once: ClassVar[bool] = False
    #: names of options and their defaults; others are refused, and so is a value that is not of the
    #: type that the class annotates
    options: ClassVar[Mapping[str, Any]] = {}
    #: True to be given the pieces of each answer with their times
    wants_pieces: ClassVar[bool] = False
    #: True to have bodies that are not JSON taken in, so that their hash tells them apart
    wants_bodies: ClassVar[bool] = False
    book: PriceBook  #: the gateway's prices; set from `start` on

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        check_hooks(cls, Interceptor, _HOOKS)

    def __init__(self, **options: Any) -> None:
        for name, value in {**self.options, **checked_options(type(self), options)}.items():
            setattr(self, name, value)

    async def start(self) -> None:
        """Called once, on the gateway's loop, before the first request."""

    async def on_request(self, exchange: Exchange) -> Outcome:
        """Decide about a request, in the order of the configuration."""
        return CONTINUE

    async def on_response(self, exchange: Exchange) -> None:
        """Called in reverse order when an exchange has ended, however it did."""

    async def on_event(self, event: GatewayEvent) -> None:
        """Called for everything that happens, in order, off the request's path."""

    def gauges(self) -> Mapping[str, float]:
        """Numbers for `/metrics`, by name; called for each scrape."""
        return {}

    async def flush(self) -> None:
        """Called after a group of events, and before shutdown."""

    async def aclose(self) -> None:
        """Called once when the gateway ends, after the last event."""


#: methods that are awaited
_HOOKS: Final = ("start", "on_request", "on_response", "on_event", "flush", "aclose")


def observes(interceptor: Interceptor) -> bool:
    """True when it overrides `on_event`."""
    return type(interceptor).on_event is not Interceptor.on_event
