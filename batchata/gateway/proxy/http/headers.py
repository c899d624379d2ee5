"""Header lists: what holds for one connection only is taken out, the rest goes through."""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final, Self

import msgspec

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
_NOT_UPSTREAM: Final = HOP_BY_HOP | {"host", "expect"}
_NAME: Final = itemgetter(0)
_VALUE: Final = itemgetter(1)
_NONE: Final[frozenset[str]] = frozenset()


def decoded(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """A header list as text, with its order, repetitions and spelling kept."""
    return tuple(
        [
            (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
            for name, value in raw
        ]
    )


class Names(msgspec.Struct, frozen=True):
    """The names of a header list."""

    text: tuple[str, ...]
    all_go_on: bool  #: none of them holds for one connection only


_NAMES: Final[dict[tuple[bytes, ...], Names]] = {}
#: how many lists of names are kept in memory, and how many bytes each may have
_MOST: Final = 256
_MOST_BYTES: Final = 8 * 1024


def names_of(raw: Iterable[tuple[bytes, bytes]]) -> Names:
    """The names of a header list, which are the same in all answers of an upstream."""
    key = tuple(map(_NAME, raw))
    found = _NAMES.get(key)
    if found is None:
        text = tuple([name.decode("utf-8", "surrogateescape") for name in key])
        found = Names(text, HOP_BY_HOP.isdisjoint(map(str.lower, text)))
        if sum(map(len, key)) < _MOST_BYTES:
            if len(_NAMES) >= _MOST:
                del _NAMES[next(iter(_NAMES))]
            _NAMES[key] = found
    return found


def head_text(lines: Sequence[str]) -> str:
    """The lines of a head; raises ValueError for one that would become several."""
    said = "".join(lines)
    if "\n" in said or "\r" in said or "\0" in said:
        raise ValueError("a header has a line break or a zero byte in it")
    return "\r\n".join(lines)


def head_bytes(text: str) -> bytes:
    """A head as it is sent, with the empty line at its end."""
    return f"{text}\r\n\r\n".encode("utf-8", "surrogateescape")


def head_line(text: str) -> str:
    """A line of a head, with its end; raises ValueError for one that would become several."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a header has a line break or a zero byte in it")
    return f"{text}\r\n"


def lines_of(headers: Headers) -> str:
    """The lines that say these headers in a head; raises ValueError as `head_line` does."""
    return "".join([head_line(f"{name}: {value}") for name, value in headers])


class Written(msgspec.Struct, frozen=True):
    """Headers, and the lines that say them in a head."""

    headers: Headers
    lines: str
    has_length: bool  #: among them is the length of the body

    @classmethod
    def of(cls, headers: Headers) -> Self:
        """These headers; raises ValueError as `head_line` does."""
        return cls(headers, lines_of(headers), has(headers, "content-length"))


def first(headers: Headers, name: str, default: str = "") -> str:
    """The first value under a lower-case name."""
    size = len(name)
    for each, value in headers:
        if len(each) == size and each.lower() == name:
            return value
    return default


def has(headers: Headers, name: str) -> bool:
    """True when a header of this lower-case name is there."""
    size = len(name)
    return name in [each.lower() for each, _ in headers if len(each) == size]


def by_name(headers: Headers) -> dict[str, str]:
    """The first value under each lower-case name."""
    backwards = headers[::-1]
    return dict(zip(_lower_names(backwards), map(_VALUE, backwards), strict=True))


def end_to_end(headers: Headers) -> Headers:
    """The headers without those of the connection and those that `Connection` names."""
    names = _lower_names(headers)
    if HOP_BY_HOP.isdisjoint(names):
        return headers
    dropped = HOP_BY_HOP | _named_by_connection(headers, names)
    return tuple([each for each, name in zip(headers, names, strict=True) if name not in dropped])


def to_upstream(headers: Headers) -> Headers:
    """A client's headers as the upstream gets them."""
    names = _lower_names(headers)
    dropped = _NOT_UPSTREAM | _named_by_connection(headers, names)
    return tuple(
        [
            each
            for each, name in zip(headers, names, strict=True)
            if name not in dropped and not name.startswith(OURS)
        ]
    )


def _lower_names(headers: Headers) -> list[str]:
    return [*map(str.lower, map(_NAME, headers))]


def _named_by_connection(headers: Headers, names: Sequence[str]) -> frozenset[str]:
    """Lower-case names that `Connection` headers name."""
    if "connection" not in names:
        return _NONE
    values = [value for name, value in headers if name.lower() == "connection"]
    return frozenset(each.strip().lower() for value in values for each in value.split(","))


def with_header(headers: Headers, name: str, value: str) -> Headers:
    """The headers with one of them set, whatever it was before."""
    return (*(each for each in headers if each[0].lower() != name.lower()), (name, value))


def without(headers: Headers, *names: str) -> Headers:
    """The headers without those of these lower-case names."""
    return tuple(each for each in headers if each[0].lower() not in names)
