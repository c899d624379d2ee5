"""Where requests go: one or several upstreams, told apart by path prefix or by model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Final, get_args
from urllib.parse import unquote, urlsplit

from yarl import URL

from batchata.gateway.proxy.http.headers import Headers, with_header
from batchata.gateway.wire.vendors import Vendor

#: the headers in which vendors look for a key; the last two are Google's and Azure's gateway's
KEY_HEADERS: Final = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "ocp-apim-subscription-key"}
)
#: begins the digest of a client that sends several keys: nobody knows which one is used
SEVERAL_KEYS: Final = "several-"
#: how a path segment that leads upwards begins
_DOTS: Final = re.compile(r"(?:\.|%2e){2}", re.IGNORECASE)
#: where Azure wants keys in a header of their own: its Bearer tokens are Entra's
_AZURE_HOSTS: Final = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".azure-api.net",
    ".openai.azure.us",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One server that answers: its address, whose protocol it speaks, its key."""

    name: str
    base_url: str  #: without a trailing slash, and without `/v1`, which clients write
    type: Vendor
    provider: str = ""  #: whose prices apply; empty: those of the protocol
    api_key: str | None = None
    prefix: str = ""  #: requests whose path begins with it go here, without it
    models: tuple[str, ...] = ()  #: patterns such as "claude-*"
    outbound_proxy: str = ""  #: address of the HTTP proxy that it is reached through
    socket: str = ""  #: path of the Unix socket that it listens on; `base_url` stands for it

    @classmethod
    def place_of(cls, socket: str) -> str:
        """The address that stands for a Unix socket: one that no name server knows."""
        return f"http://unix-{blake2b(socket.encode(), digest_size=6).hexdigest()}.localhost"

    @property
    def address(self) -> str:
        """Where it is, as its configuration says."""
        return f"unix://{self.socket}" if self.socket else self.base_url

    def __repr__(self) -> str:
        return f"Upstream(name={self.name!r}, base_url={self.base_url!r}, type={self.type!r})"

    def url(self, target: str) -> URL:
        """The address of a target, byte for byte as the client wrote it."""
        url = URL(self.base_url + target, encoded=True)
        asked = urlsplit(self.base_url).path + target
        if url.raw_path_qs != asked:  # an empty query, which yarl leaves out
            url._cache["raw_path_qs"] = asked
        return url

    def is_left_by(self, path: str) -> bool:
        """True for a path that a server may resolve to one outside `base_url`."""
        if not has_dots(path) or not urlsplit(self.base_url).path.strip("/"):
            return False
        depth = 0
        for part in re.split(r"[/\\]+", unquote(path)):
            name = part.partition(";")[0]
            depth += -1 if name == ".." else name not in ("", ".")
            if depth < 0:
                return True
        return False

    def with_key(self, headers: Headers) -> Headers:
        """The headers with our key, unless the client brought one of its own."""
        if self.api_key is None or has_key(headers):
            return headers
        if self.type == "anthropic":
            return with_header(headers, "x-api-key", self.api_key)
        if self.provider == "azure" or _is_azure(self.base_url):
            return with_header(headers, "api-key", self.api_key)
        return with_header(headers, "Authorization", f"Bearer {self.api_key}")


def has_dots(path: str) -> bool:
    """True for a path with a segment that may lead upwards."""
    return _DOTS.search(path) is not None


def _is_azure(base_url: str) -> bool:
    return (urlsplit(base_url).hostname or "").endswith(_AZURE_HOSTS)


def client_of(headers: Headers) -> str:
    """A digest of the key among these headers, however it is written; empty without a key."""
    values = (value for name, value in headers if name.lower() in KEY_HEADERS)
    keys = sorted({_key_in(value) for value in values} - {""})
    if not keys:
        return ""
    digest = blake2b("\n".join(keys).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
    return digest if len(keys) == 1 else f"{SEVERAL_KEYS}{digest}"


def _key_in(value: str) -> str:
    scheme, _, rest = value.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value.strip()


def has_key(headers: Headers) -> bool:
    """True when a header carries a key."""
    return any(name.lower() in KEY_HEADERS and value.strip() for name, value in headers)


class Upstreams:
    """All upstreams of a gateway, in the order of the configuration."""

    def __init__(self, upstreams: Sequence[Upstream]) -> None:
        self.all = tuple(upstreams)
        self._prefixed = sorted(
            (each for each in self.all if each.prefix), key=lambda each: -len(each.prefix)
        )
        self._plain = [each for each in self.all if not each.prefix]
        self._choosy = [each for each in self._plain if each.models]
        open_to_all = [each for each in self._plain if not each.models]
        self._open = {
            spoken: next((each for each in open_to_all if each.type == spoken), None)
            or next(iter(open_to_all), None)
            for spoken in get_args(Vendor)
        }

    @property
    def sockets(self) -> dict[str, str]:
        """Paths of Unix sockets, by the hosts that stand for them."""
        unix = (each for each in self.all if each.socket)
        return {urlsplit(each.base_url).hostname or "": each.socket for each in unix}

    def by_path(self, target: str) -> tuple[Upstream, str] | None:
        """The upstream whose prefix a target has, and the target without it."""
        for each in self._prefixed:
            rest = target.removeprefix(each.prefix)
            if rest != target and rest[:1] in ("/", "?", ""):
                return each, rest if rest.startswith("/") else f"/{rest}"
        return None

    def choose(self, path: str, model: str) -> Upstream | None:
        """The upstream without a prefix for a model; the first that names no models otherwise."""
        for each in self._choosy:
            if model and any(fnmatchcase(model, pattern) for pattern in each.models):
                return each
        found = self._open["anthropic" if path.startswith("/v1/messages") else "openai"]
        if found is None and not model:
            return next(iter(self._plain), None)
        return found
