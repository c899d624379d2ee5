"""Secrets taken out of what is written down: by the names of keys, by known values, by shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson
from pydantic_core import SchemaValidator, core_schema

REDACTED: Final = "[redacted]"

_TELLING: Final = (
    "api_?key|authorization|secret|passw(or)?d|passphrase|credential|private_?key"
    "|access_?key|signature_?key|cookie|auth_?token|access_?token|refresh_?token|session_?token"
    "|bearer"
)
_NAME = re.compile(_TELLING)
#: shorter values are words that a text may well contain
_SHORTEST = 6
#: a text under the bare name "token" is a secret only when it looks like one
_TOKEN = re.compile(r"[^\s]{16,}")
_DEEPEST = 64
#: what has more values may contain itself
_MOST: Final = 50_000
#: short names of no secrets, from mappings of few keys: they come again and again
_INNOCENT: Final[set[str]] = set()
_MOST_NAMES: Final = 4096
_FEW: Final = 64
_LONGEST: Final = 64
#: nothing is inside these; asking for the exact type is many times quicker than for a Mapping
_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
#: a key begins a word (`task-...` is none), which JSON may write behind a line break's letter
_BEGIN: Final = r"(?:(?<![0-9A-Za-z])|(?<=\\[bfnrt])|(?<=\\u[0-9a-f]{4}))"
_SHAPES = re.compile(
    _BEGIN.encode() + rb"(?:sk-[A-Za-z0-9_-]{16,}|hf_[0-9A-Za-z]{30,})"
    rb"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|gh[pousr]_[0-9A-Za-z]{36}"
    rb"|github_pat_[0-9A-Za-z_]{50,}"
    # up to its end or that of its text, whose quote keeps the backslashes before it
    rb"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----(?:-?\\*[^-\"\\])*"
    rb"|xox[abps]-[0-9A-Za-z-]{10,}|(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{16,}"
    rb"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)
_USER_INFO = re.compile(rb"(?<=://)[^/\s:@\"\\]+:[^/\s@\"\\]+(?=@)")


def _finder(pattern: str) -> Callable[[str], bool]:
    """Tells whether a text has a match; where it has none this is far quicker than `re`."""
    schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
    return SchemaValidator(schema).isinstance_python


#: what `_SHAPES` and `_USER_INFO` match, and perhaps more; spaces are those of bytes
_KEYS: Final = (
    _SHAPES.pattern.decode()
    # a few plain beginnings are found many times quicker than exact ones
    .replace(_BEGIN, "")
    .replace("(?<=[Bb]earer )", "earer ")
    .replace("xox[abps]-", "xox[a-z]-")
    + r"|://[^/ \t\n\r\x0b\x0c]*@"
)
_may_be_key: Final = _finder(_KEYS)
_may_be_named: Final = _finder(f'(?i)"token":|{_TELLING.replace("_", "[-_ ]")}')
_may_be_either: Final = _finder(f'{_KEYS}|(?i:"token":|{_TELLING.replace("_", "[-_ ]")})')


class Redactor:
    """Takes secrets out of values and of JSON; `values` are secrets that are known as such."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = {value for value in values if len(value) >= _SHORTEST}
        # the longest first: one secret may begin with another
        self._texts = sorted(known, key=len, reverse=True)
        #: True when it was told secrets, besides what they look like
        self.knows_values = bool(known)
        self._bytes = [orjson.dumps(value)[1:-1] for value in self._texts]

    def named(self, value: Any) -> Any:
        """The value without what names of secrets stand for; the same object if there is none."""
        return value if _is_innocent(value) else _named(value, 0)

    def json(self, data: bytes) -> bytes:
        """JSON text without known values, and without what has the shape of a key."""
        for value in self._bytes:
            if value in data:
                data = data.replace(value, REDACTED.encode())
        if _may_be_key(data.decode("latin-1")):
            data = _SHAPES.sub(REDACTED.encode(), data)
            data = _USER_INFO.sub(REDACTED.encode(), data)
        return data

    def jsons(self, texts: list[bytes]) -> list[bytes]:
        """Several JSON texts; where nothing is like a secret they are looked through at once."""
        return [*map(self.json, texts)] if self._may_hold(b"\n".join(texts)) else texts

    def _may_hold(self, data: bytes) -> bool:
        return _may_be_key(data.decode("latin-1")) or any(value in data for value in self._bytes)

    def is_clean(self, data: bytes) -> bool:
        """True for JSON text with no secret of any kind; False: something may be one."""
        if _may_be_either(data.decode("utf-8", "replace")):
            return False
        return not any(value in data for value in self._bytes)

    def names_none(self, data: bytes) -> bool:
        """True for JSON text with no name of a secret in it; False when there may be one."""
        return not _may_be_named(data.decode("utf-8", "replace"))

    def text(self, text: str) -> str:
        """A short text, such as an id, without known values."""
        for value in self._texts:
            if value in text:
                text = text.replace(value, REDACTED)
        return text


def _is_innocent(value: Any) -> bool:
    """True for plain JSON with no name of a secret in it, as nearly all is: half the work."""
    found = [value]
    for each in found:
        kind = type(each)
        if kind in _LEAVES:
            continue
        if kind is dict:
            if not _INNOCENT.issuperset(each) and not _are_innocent(each):
                return False
            found += each.values()
        elif kind is list:
            found += each
        else:
            return False
        if len(found) > _MOST:
            return False
    return True


def _are_innocent(names: Collection[Any]) -> bool:
    """True when none is the name of a secret; those that may come again are kept in mind."""
    if any(isinstance(each, str) and is_secret_name(each) for each in names):
        return False
    if len(names) <= _FEW:
        if len(_INNOCENT) > _MOST_NAMES:
            _INNOCENT.clear()
        _INNOCENT.update(each for each in names if isinstance(each, str) and len(each) <= _LONGEST)
    return True


def _named(value: Any, depth: int) -> Any:
    if type(value) in _LEAVES or depth > _DEEPEST:
        return value
    if isinstance(value, dict):
        return _mapping(value, depth)
    if isinstance(value, (list, tuple)):  # before the question for a Mapping, which is slow
        return _sequence(value, depth)
    return _mapping(value, depth) if isinstance(value, Mapping) else value


def _sequence(value: Sequence[Any], depth: int) -> Sequence[Any]:
    made: list[Any] | None = None
    for number, each in enumerate(value):
        if type(each) in _LEAVES:
            continue
        kept = _named(each, depth + 1)
        if kept is not each:
            made = list(value) if made is None else made
            made[number] = kept
    return value if made is None else made


def _mapping(value: Mapping[Any, Any], depth: int) -> Mapping[Any, Any]:
    made: dict[Any, Any] | None = None
    for key, each in value.items():
        if isinstance(key, str) and is_secret_name(key):
            kept = REDACTED if _is_telling(key, each) else each
        elif type(each) in _LEAVES:
            continue
        else:
            kept = _named(each, depth + 1)
        if kept is not each:
            made = dict(value) if made is None else made
            made[key] = kept
    return value if made is None else made


def _is_telling(key: str, value: Any) -> bool:
    if value is None or isinstance(value, bool) or value == "":
        return False
    if key.lower() == "token":  # also the name of a piece of text, in log probabilities
        return isinstance(value, str) and _TOKEN.fullmatch(value) is not None
    return True


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """True for names of keys under which secrets are kept, as `api_key` and `Authorization`."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return plain == "token" or _NAME.search(plain) is not None
