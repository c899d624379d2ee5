"""How a field is called, and which words of a text call it that."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from batchata.core.citing.plain import loose, plain
from batchata.core.citing.words import DROPPED, GENERIC, NOTION_OF, WIDE_WORDS

TOKENS: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WIDE: Final = "\u2e80"
_ENDINGS: Final = (
    "ations", "ation", "ically", "ally", "ments", "ment", "ings", "ing", "als", "al", "ied",
    "ed", "es", "s", "ly", "e", "n", "en",
)  # fmt: skip
_NOT_WORDS: Final = frozenset(("items", "item", "lines", "rows", "entries", "list", "values"))
_WEIGHTS: Final = {"total": 0.8, "net": 0.8}


@dataclass(frozen=True, slots=True)
class Form:
    """A word in the forms it is compared in."""

    key: str
    stem: str
    notions: frozenset[int]


@dataclass(frozen=True, slots=True)
class Label:
    """The words a field is called by."""

    path: str
    own: tuple[Form, ...]
    weights: tuple[float, ...]
    parents: tuple[Form, ...] = ()
    #: the same field by its alias or title
    others: tuple[tuple[Form, ...], ...] = ()

    @property
    def is_generic(self) -> bool:
        """True for "name" or "value": its parents have to say which one."""
        return all(weight < 0.5 for weight in self.weights)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a field's name, in snake or camel case."""
    parts = TOKENS.findall(plain(_CAMEL.sub(" ", name)))
    kept = tuple(each for each in parts if each not in DROPPED)
    return kept or tuple(parts)


def label_of(path: str, own: Iterable[str], parents: Iterable[str], titles: Iterable[str]) -> Label:
    """The label of the field at `path`."""
    forms = tuple(map(form, own))
    above = tuple(form(each) for each in parents if each not in _NOT_WORDS)
    others = tuple(tuple(map(form, words_of(title))) for title in titles)
    weights = tuple(weight(each) for each in forms)
    return Label(plain(path), forms, weights, above, tuple(o for o in others if o and o != forms))


def weight(each: Form) -> float:
    """How much a word says about which field is meant."""
    return 0.4 if each.key in GENERIC else _WEIGHTS.get(each.key, 1.0)


@lru_cache(maxsize=16_384)
def form(word: str) -> Form:
    """The forms of one plain word."""
    key = _key(word)
    return Form(key, _stem(key), _notions(word, key))


def likeness(wanted: Form, token: Form) -> float:
    """1 for the same word, less for another form of it, a translation or a compound."""
    if wanted.key == token.key:
        return 1.0
    if wanted.stem == token.stem and len(wanted.stem) >= 3:
        return 0.95
    if wanted.notions & token.notions:
        return 0.9
    return _compound(wanted.key, token.key)


def _compound(wanted: str, token: str) -> float:
    if wanted >= _WIDE:
        return 0.9 if wanted in token else 0.0
    if len(wanted) >= 5 and len(token) > len(wanted) and token.endswith(wanted):
        return 0.8
    if len(wanted) >= 4 and token.startswith(wanted):
        return 0.7
    return 0.7 if len(token) >= 5 and wanted.startswith(token) else 0.0


def _key(word: str) -> str:
    word = loose(word)
    if word.isascii():
        for pair, one in (("ae", "a"), ("oe", "o"), ("ue", "u")):
            word = word.replace(pair, one)
    return word


def _stem(key: str) -> str:
    if key.endswith("ies") and len(key) > 4:
        return key[:-3] + "y"
    for ending in _ENDINGS:
        if key.endswith(ending) and len(key) - len(ending) >= 3:
            return key[: -len(ending)]
    return key


def _notions(word: str, key: str) -> frozenset[int]:
    if word >= _WIDE:
        return frozenset(NOTION_OF[each] for each in WIDE_WORDS if each in word)
    found = _NOTIONS.get(key)
    if found is None:
        found = _NOTIONS.get(_stem(key))
    return frozenset() if found is None else frozenset((found,))


_NOTIONS: Final = {_key(plain(word)): number for word, number in NOTION_OF.items()}
