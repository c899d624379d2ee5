"""Keys of clients, for calls made on their behalf later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

_MOST_OWNERS: Final = 10_000


class ClientKeys:
    """Headers with each client's key, in memory only; the least recently seen are dropped first."""

    def __init__(self, most_owners: int = _MOST_OWNERS) -> None:
        self._most = most_owners
        self._by_owner: OrderedDict[str, Mapping[str, str]] = OrderedDict()

    def remember(self, owner: str, headers: Mapping[str, str]) -> bool:
        """Keep a client's key; True when it differs from the one before."""
        is_new = self._by_owner.get(owner) != headers
        self._by_owner[owner] = headers
        self._by_owner.move_to_end(owner)
        if len(self._by_owner) > self._most:
            self._by_owner.popitem(last=False)
        return is_new

    def of(self, owner: str) -> Mapping[str, str] | None:
        """A client's headers; None until it makes a call."""
        return self._by_owner.get(owner)
