"""The fields of an answer that can have a citation, with their paths and label words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from pydantic import BaseModel

from batchata.core.citing.labels import Label, label_of, words_of

#: a longer text is looked for by its beginning
_LONGEST_TEXT: Final = 1_000
_MOST_LEAVES: Final = 2_000
_MOST_DEPTH: Final = 40
#: what `str()` of a user's own type may raise
_TEXT_ERRORS: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One scalar of an answer."""

    path: str  #: as "items[0].price"
    value: Any  #: bool, int, float, Decimal, date, datetime, time, or a str
    label: Label
    #: other texts that mean the same value: the name of an enum's member
    texts: tuple[str, ...] = ()
    is_enum: bool = False

    @property
    def group(self) -> str:
        """The list item it is in, as "items[0]"; empty outside lists of objects."""
        head, mark, tail = self.path.rpartition("]")
        return head + mark if mark and tail else ""

    @property
    def pattern(self) -> str:
        """Its path with every list's places left out, as "items[].price"."""
        return re.sub(r"\[\d+\]", "[]", self.path)


@dataclass(frozen=True, slots=True)
class _Place:
    path: str = ""
    own: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    depth: int = 0

    def field(self, name: str, titles: tuple[str, ...] = ()) -> _Place:
        path = f"{self.path}.{name}" if self.path else name
        return _Place(path, words_of(name), self.parents + self.own, titles, self.depth + 1)

    def item(self, index: int) -> _Place:
        return dataclasses.replace(self, path=f"{self.path}[{index}]", depth=self.depth + 1)


def leaves_of(parsed: Any, model: type[BaseModel] | None = None) -> list[Leaf]:
    """The scalars of `parsed` in order; None and empty texts are none."""
    found: list[Leaf] = []
    for leaf in _walk(parsed, _Place(), model):
        found.append(leaf)
        if len(found) == _MOST_LEAVES:
            break
    return found


def _walk(value: Any, place: _Place, model: Any) -> Iterator[Leaf]:
    if value is None or place.depth > _MOST_DEPTH:
        return
    fields = _fields(value)
    if fields is not None:
        shape = type(value) if isinstance(value, BaseModel) else model_in(model)
        for name, each in fields:
            info = shape.model_fields.get(name) if shape else None
            titles = tuple(t for t in (info.alias, info.title) if t) if info else ()
            inner = info.annotation if info else None
            inside = place if name == "root" and _is_root(value) else place.field(name, titles)
            yield from _walk(each, inside, inner)
    elif isinstance(value, (list, tuple, AbstractSet)):
        for index, each in enumerate(value):
            yield from _walk(each, place.item(index), model)
    else:
        leaf = _leaf(value, place)
        if leaf is not None:
            yield leaf


def _is_root(value: Any) -> bool:
    return isinstance(value, BaseModel) and "root" in type(value).model_fields


def _fields(value: Any) -> list[tuple[str, Any]] | None:
    """Names and values of something with fields, None for anything else."""
    if isinstance(value, BaseModel):
        held = dict(value.__dict__)
        held.update(getattr(value, "__pydantic_extra__", None) or {})
        return list(held.items())
    if isinstance(value, Mapping):
        return [(str(name), each) for name, each in value.items() if _is_name(name)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(each.name, getattr(value, each.name, None)) for each in dataclasses.fields(value)]
    return None


def _is_name(name: object) -> bool:
    return isinstance(name, (str, int, Enum))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The model class in an annotation as `list[Item] | None`."""
    todo, seen = [annotation], 0
    while todo and seen < 50:
        each = todo.pop()
        seen += 1
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
        todo.extend(getattr(each, "__args__", ()))
    return None


def _leaf(value: Any, place: _Place) -> Leaf | None:
    texts: tuple[str, ...] = ()
    is_enum = isinstance(value, Enum)
    if isinstance(value, Enum):
        texts = (value.name.replace("_", " "), value.name)
        value = value.value
    if not isinstance(value, (bool, int, float, Decimal, date, datetime, time, str)):
        try:
            value = "" if isinstance(value, (bytes, bytearray)) else str(value)
        except _TEXT_ERRORS:
            return None
    if isinstance(value, str):
        value = _beginning(value)
        if not value.strip():
            return None
    label = label_of(place.path, place.own, place.parents, place.titles)
    return Leaf(path=place.path, value=value, label=label, texts=texts, is_enum=is_enum)


def _beginning(text: str) -> str:
    """A text, or so much of a long one that it cannot be taken for another."""
    if len(text) <= _LONGEST_TEXT:
        return text
    words, _, _ = text[:_LONGEST_TEXT].rpartition(" ")
    return words or text[:_LONGEST_TEXT]
