"""Header lists: what is a matter between two neighbours stays there, the rest goes through."""

from collections.abc import Iterable
from typing import Final

Headers = tuple[tuple[str, str], ...]

#: they hold for one connection only
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: headers that speak to the gateway; the upstream never sees them
OURS: Final = ("x-batchata-", "x-cylestio-")
#: made anew for the upstream's connection, or answered here
_CONNECTION: Final = len("connection")
_REMADE: Final = frozenset({"host", "expect"})


def decoded(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """A header list as text, in order, with its repetitions and its spelling."""
    return tuple(
        [
            (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
            for name, value in raw
        ]
    )


def first(headers: Headers, name: str, default: str = "") -> str:
    """The first value under a lower-case name."""
    for each, value in headers:
        if len(each) == len(name) and each.lower() == name:
            return value
    return default


def by_name(headers: Headers) -> dict[str, str]:
    """The first value under each lower-case name."""
    return {name.lower(): value for name, value in reversed(headers)}


def end_to_end(headers: Headers) -> Headers:
    """The headers without those of the connection and those it names."""
    dropped = HOP_BY_HOP
    for name, value in headers:
        if len(name) == _CONNECTION and name.lower() == "connection":
            dropped = dropped | {each.strip().lower() for each in value.split(",")}
    return tuple([each for each in headers if each[0].lower() not in dropped])


def to_upstream(headers: Headers) -> Headers:
    """What the upstream is told of a client's headers."""
    return tuple(
        [
            (name, value)
            for name, value in end_to_end(headers)
            if (lower := name.lower()) not in _REMADE and not lower.startswith(OURS)
        ]
    )


def with_header(headers: Headers, name: str, value: str) -> Headers:
    """The headers with one of them set, whatever it was before."""
    return (*(each for each in headers if each[0].lower() != name.lower()), (name, value))


def without(headers: Headers, *names: str) -> Headers:
    """The headers without those of these lower-case names."""
    return tuple(each for each in headers if each[0].lower() not in names)
