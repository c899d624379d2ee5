"""Whether quotes state the values they were given for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from batchata.core.citing.hits import find_hits, wanted_of
from batchata.core.citing.joined_text import JoinedText
from batchata.core.citing.leaves import leaves_of


def unstated(
    quotes: Mapping[str, str], parsed: Any, *, model: type[BaseModel] | None = None
) -> list[str]:
    """Paths of the numbers, dates and times of an answer that are not in their quotes.

    Words are not looked at: a field may sum up what its quote says at length.
    """
    missing = []
    for leaf in leaves_of(parsed, model):
        quote = quotes.get(leaf.path)
        if quote is None or isinstance(leaf.value, bool):
            continue
        wanted = wanted_of([leaf])
        is_exact = bool(wanted.numbers or wanted.days or wanted.hours)
        if is_exact and not find_hits(JoinedText((quote,), between=""), wanted):
            missing.append(leaf.path)
    return missing
