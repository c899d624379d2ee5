"""What clients say about themselves in headers: session, agent and tags, but never a key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import blake2b
from typing import Final

from batchata.core.redact import Redactor

#: request headers that carry a session, an agent and tags; the first one present counts
SESSION_HEADERS: Final = (
    "x-batchata-session-id",
    "x-cylestio-conversation-id",
    "x-cylestio-session-id",
)
AGENT_HEADERS: Final = ("x-batchata-agent-id", "x-cylestio-prompt-id", "x-cylestio-agent-id")
TAG_HEADERS: Final = ("x-batchata-tags", "x-cylestio-tags")
_MOST_TAGS: Final = 50
_MOST_KEY: Final = 64
_MOST_VALUE: Final = 512
_MOST_ID: Final = 256
_REDACTOR: Final = Redactor()


def named(found: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The value of the first of these headers that is present."""
    for name in names:
        value = found.get(name)
        if value:
            return _readable(value.strip())
    return ""


def _readable(text: str) -> str:
    """What a client wrote in UTF-8, or else in Latin-1, as old ones do."""
    data = text.encode("utf-8", "surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def id_of(text: str, keys: Collection[str]) -> str:
    """An id as a client gave it; a stand-in for one that is a key, or too long."""
    kept = without_key(text, keys)
    return kept if len(kept) <= _MOST_ID else f"{kept[: _MOST_ID - 17]}-{_digest(kept)}"


def without_key(text: str, keys: Collection[str]) -> str:
    """What a client says about itself; a stand-in for a key, since it will be written to disk."""
    return f"key-{_digest(text)}" if text and _is_key(text, keys) else text


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _is_key(text: str, keys: Collection[str]) -> bool:
    data = text.encode("utf-8", "surrogateescape")
    return text in keys or _REDACTOR.json(data) != data


def tags_of(text: str) -> Mapping[str, str]:
    """`key:value,key2:value2,flag` as a mapping, within limits of count and length."""
    tags: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, _, value = part.strip().partition(":")
        if key and len(key) <= _MOST_KEY and len(tags) < _MOST_TAGS:
            tags[key] = value.strip()[:_MOST_VALUE]
    return tags
