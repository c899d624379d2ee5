"""The gateway's configuration: its sections, and what each key means."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from batchata.gateway.proxy.http.upstreams import Upstream
from batchata.gateway.wire.vendors import Vendor

_UNIX: Final = "unix://"
_VISIBLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"[\w.\-]+(:\d+)?|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(\](:\d+)?)?")
#: what clients append to a base URL
_ENDPOINT: Final = re.compile(
    r"(/v1)?/(chat/completions|completions|responses|embeddings|messages)$"
)
_WINDOW: Final = re.compile(r"[1-9]\d{0,4}[smhd]")
#: servers such as vLLM close an idle connection after 5 seconds, perhaps while a call is being sent
_KEEPALIVE_SECONDS: Final = 4.0
#: vendors keep idle connections for minutes, and a new one costs a TLS handshake
_TLS_KEEPALIVE_SECONDS: Final = 30.0
_ANTHROPIC: Final = re.compile(r"https://([^/]+\.)?anthropic\.com(:\d+)?(/|$)", re.I)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LogLevel = Literal["debug", "info", "warning", "error"]


def is_loopback(host: str) -> bool:
    """True for an address of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServerSection(Section):
    """Where to listen, and how long to wait."""

    #: address to listen on; one that other machines can reach needs `client_token`
    host: str = "127.0.0.1"
    port: int = Field(4000, ge=0, le=65535)  #: 0 picks a free one
    #: what clients send as their key, 8 characters or more; it is not passed on
    client_token: str | None = Field(None, min_length=8, repr=False)
    #: `Host` headers to answer besides this machine's own names
    allowed_hosts: tuple[str, ...] = ()
    connect_seconds: float = Field(10, gt=0)  #: how long connecting to an upstream may take
    #: how long an upstream, or a client in the middle of its request, may stay silent
    idle_seconds: float = Field(600, gt=0)
    #: how long an idle connection to an upstream is kept; by default 30 if all upstreams are https,
    #: else 4
    keepalive_seconds: float | None = Field(None, gt=0)
    shutdown_seconds: float = Field(30, ge=0)  #: how long calls in flight may take at shutdown
    #: a larger question waits on disk, and only its short fields are read
    inspect_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    spill_bytes: int = Field(1024 * 1024 * 1024, ge=0)  #: a still larger one is refused with 413

    @field_validator("client_token", mode="before")
    @classmethod
    def _is_token(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """The hosts, spelled as a `Host` header has them."""
        for each in value:
            if _HOST.fullmatch(each) is None:
                raise ValueError(
                    f"{each!r} is not a host: write a name such as gateway.internal, without "
                    "http:// or *; with client_token and no allowed_hosts, any host is answered"
                )
        return tuple(
            f"[{each}]" if each.count(":") > 1 and each[0] != "[" else each for each in value
        )

    @property
    def is_loopback(self) -> bool:
        """True when nobody but this machine can connect."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _guarded(self) -> ServerSection:
        if not self.is_loopback and self.client_token is None:
            raise ValueError(
                f"host {self.host} can be reached by other machines and needs client_token: "
                "write --client-token ${TOKEN}, or host 127.0.0.1"
            )
        return self


class UpstreamSection(Section):
    """One server that answers."""

    #: its address, with or without the `/v1` at the end; or `unix:///run/vllm.sock`
    base_url: str
    type: Vendor = "openai"  #: whose protocol it speaks; for api.anthropic.com `anthropic`
    #: for metrics, logs and errors; by default its host, with port and prefix if another has it too
    name: str = ""
    provider: str = ""  #: whose prices apply, such as `vllm`; by default `type`
    api_key: str | None = Field(None, repr=False)  #: added when a client sends no key
    prefix: str = ""  #: requests whose path begins with it go here, without it
    models: tuple[str, ...] = ()  #: patterns of the models served here, such as `claude-*`
    outbound_proxy: str | None = Field(None, repr=False)  #: `http://HOST:PORT` of a proxy to use

    @model_validator(mode="before")
    @classmethod
    def _type_follows(cls, value: Any) -> Any:
        """Anthropic's own address needs no `type`."""
        if not isinstance(value, dict) or value.get("type"):
            return value
        address = str(value.get("base_url") or "")
        return {**value, "type": "anthropic"} if _ANTHROPIC.match(address) else value

    @field_validator("api_key", mode="before")
    @classmethod
    def _is_key(cls, value: Any) -> Any:
        return _sendable(value)

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme == "unix":
            return _checked_socket(value)
        if parts.username or parts.password:
            raise ValueError("a key does not belong in base_url: write it as api_key")
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError(f"{value!r} is not an http or https address: write https://HOST")
        if parts.query or parts.fragment:
            raise ValueError("base_url cannot have a query or a fragment")
        if _VISIBLE.fullmatch(value) is None:
            raise ValueError(
                f"{value!r} has a character that an address cannot have: write the host as xn--... "
                "and %20 and the like in the path"
            )
        _check_host(parts)
        address = value.rstrip("/")
        if (asked := _ENDPOINT.search(parts.path.rstrip("/"))) is not None:
            raise ValueError(
                f"base_url ends in {asked[0]}, which clients add: write "
                f"{address.removesuffix(asked[0])}"
            )
        return address.removesuffix("/v1")

    @field_validator("outbound_proxy")
    @classmethod
    def _is_proxy(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        # not the value itself: there may be a password in it
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("it is not the address of an HTTP proxy: write http://HOST:PORT")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_reached_one_way(self) -> UpstreamSection:
        if self.prefix and self.models:
            raise ValueError("models has no effect beside prefix: leave one of them out")
        if self.outbound_proxy and self.base_url.startswith(_UNIX):
            raise ValueError("a Unix socket cannot be reached by outbound_proxy: leave it out")
        return self

    @field_validator("prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        if value and not value.startswith("/"):
            raise ValueError(f"prefix {value!r} does not begin with /")
        return value.rstrip("/")

    @property
    def place(self) -> str:
        """Which requests it serves; of two upstreams with the same, the second would get none."""
        if self.prefix:
            return f"the prefix {self.prefix}"
        if self.models:
            return f"the models {', '.join(self.models)}"
        return f"no prefix and no models, and the type {self.type}"

    def upstream(self) -> Upstream:
        """The upstream that this describes."""
        socket = self.base_url.removeprefix(_UNIX) if self.base_url.startswith(_UNIX) else ""
        return Upstream(
            name=self.name or Path(socket).name or (urlsplit(self.base_url).hostname or ""),
            base_url=Upstream.place_of(socket) if socket else self.base_url,
            socket=socket,
            type=self.type,
            provider=self.provider,
            api_key=self.api_key or None,
            prefix=self.prefix,
            models=self.models,
            outbound_proxy=self.outbound_proxy or "",
        )


def _sendable(value: Any) -> Any:
    """A secret without the line break that files end with; ValueError for one in the middle."""
    if not isinstance(value, str):
        return value
    found = value.strip()
    if any(each.isspace() or not each.isprintable() for each in found):
        raise ValueError("it has a space or a line break in it: write the key alone")
    return found


def _check_host(parts: SplitResult) -> None:
    """Raise ValueError for a host or a port that nobody can connect to."""
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError(f"{parts.hostname!r} is not a host: write https://HOST") from None
    if parts.port == 0:
        raise ValueError("no server listens on port 0: write the port it listens on")


def _checked_socket(value: str) -> str:
    path = value.removeprefix(_UNIX).rstrip("/").removesuffix("/v1")
    if not value.startswith(_UNIX) or not path.startswith("/") or {"?", "#"} & set(path):
        raise ValueError(f"{value!r} is not the path of a socket: write unix:///run/vllm.sock")
    if not hasattr(asyncio, "open_unix_connection"):
        raise ValueError("this system has no Unix sockets: write http://127.0.0.1:PORT")
    return _UNIX + path


class InterceptorSection(Section):
    """One interceptor by its name or dotted path, with its options."""

    type: str  #: a name from the list below, one from a package, or `package.module:Class`
    enabled: bool = True
    config: dict[str, Any] = Field(default_factory=dict)  #: its options

    @model_validator(mode="before")
    @classmethod
    def _may_be_a_name(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value


class SessionsSection(Section):
    """How calls are grouped into sessions."""

    enabled: bool = True  #: if not, a call that names no session is a session of its own
    #: how many are remembered; the least recently used goes first
    max_sessions: int = Field(50_000, ge=1)
    ttl_seconds: float = Field(3600, gt=0)  #: silence after which a session ends


class LoggingSection(Section):
    """What the gateway logs."""

    level: LogLevel = "info"  #: the lowest level that is logged to stderr

    @field_validator("level", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class BatchesSection(Section):
    """The batch APIs in front of the upstreams: where their state is, and how much runs at once."""

    directory: Path  #: what is under way is kept here, and survives a restart
    parallel: int = Field(4, ge=1)  #: batches that run at once
    #: calls of one batch at once; by default as many as the upstream takes
    concurrency: int | None = Field(None, ge=1)


class ToBatchSection(Section):
    """How long live calls may wait for a batch, and where what waits is kept."""

    window: str  #: a call not answered within this time is asked live: `90s`, `30m`, `6h`, `1d`
    directory: Path = Path("held")  #: what is under way is kept here, and survives a restart
    #: how long calls are gathered into one batch; by default a sixtieth of the window
    gather_seconds: float | None = Field(None, gt=0)
    heartbeat_seconds: float = Field(15, gt=0)  #: between signs of life to a waiting client

    @field_validator("window")
    @classmethod
    def _is_window(cls, value: str) -> str:
        if _WINDOW.fullmatch(value) is None:
            raise ValueError(f"window {value!r} is not a time: write 90s, 30m, 6h or 1d")
        return value

    @property
    def window_seconds(self) -> float:
        """How long a call may wait before it is asked live."""
        return float(self.window[:-1]) * _UNITS[self.window[-1]]

    @property
    def gather_for(self) -> float:
        """How long calls are gathered into one batch (s)."""
        most = self.window_seconds / 2
        return min(most, self.gather_seconds or max(1.0, self.window_seconds / 60))

    @property
    def batches_for(self) -> float:
        """How much of the window is left for batches (s)."""
        return self.window_seconds - self.gather_for


class GatewayConfig(Section):
    """The whole configuration of a gateway."""

    server: ServerSection = ServerSection()  # type: ignore[call-arg]
    llm: UpstreamSection | None = None  #: the one upstream, or the first of several
    upstreams: tuple[UpstreamSection, ...] = ()  #: more upstreams
    #: asked in this order, `flex` and `budget` last
    interceptors: tuple[InterceptorSection, ...] = ()
    batches: BatchesSection | None = None
    to_batch: ToBatchSection | None = None
    sessions: SessionsSection = SessionsSection()  # type: ignore[call-arg]
    logging: LoggingSection = LoggingSection()
    #: USD per million tokens, for models without a known price: `{my-model: {input: 0.1, output:
    #: 0.4}}`
    prices: dict[str, dict[str, float]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_upstream(self) -> GatewayConfig:
        places = [each.place for each in self.sections]
        if not places:
            raise ValueError(
                "there is no upstream: write --base-url https://api.openai.com --type openai, "
                "or `llm:` or `upstreams:` in the file"
            )
        if twice := [place for place in places if places.count(place) > 1]:
            raise ValueError(f"two upstreams have {twice[0]}: one of them would never be asked")
        given = [each.name for each in self.sections if each.name]
        if names := [name for name in given if given.count(name) > 1]:
            raise ValueError(f"two upstreams are named {names[0]!r}: give each a name of its own")
        is_flex = any(each.enabled and each.type == "flex" for each in self.interceptors)
        if self.to_batch is not None and any(each.upstream().socket for each in self.sections):
            raise ValueError("to_batch needs a vendor's batches: a Unix socket has none")
        if is_flex and self.to_batch is not None:
            raise ValueError("flex and to_batch both halve the price: leave one of them out")
        if not self.sessions.enabled and any(
            each.enabled and each.config.get("per") == "session" for each in self.interceptors
        ):
            raise ValueError("a limit per session needs sessions: write sessions: {enabled: true}")
        return self

    @property
    def keepalive_seconds(self) -> float:
        """How long an idle connection to an upstream is kept."""
        is_tls = all(each.base_url.startswith("https:") for each in self.sections)
        usual = _TLS_KEEPALIVE_SECONDS if is_tls else _KEEPALIVE_SECONDS
        return self.server.keepalive_seconds or usual

    def all_upstreams(self) -> list[Upstream]:
        """The upstreams that the sections describe, each with a name of its own."""
        found: dict[str, Upstream] = {}
        known = Counter(each.upstream().name for each in self.sections)
        for section in self.sections:
            upstream = section.upstream()
            name = upstream.name
            if known[name] > 1 and not section.name:
                name = f"{urlsplit(upstream.address).netloc or upstream.socket}{upstream.prefix}"
            number = 1 + sum(each.partition("#")[0] == name for each in found)
            name = name if number == 1 else f"{name}#{number}"
            found[name] = replace(upstream, name=name)
        return list(found.values())

    @property
    def sections(self) -> tuple[UpstreamSection, ...]:
        """All upstreams, `llm` first."""
        return (*((self.llm,) if self.llm else ()), *self.upstreams)
