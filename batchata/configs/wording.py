"""What is wrong with a value, in the words of the configuration."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchata.core.redact import Redactor

#: what is wanted, by the kind of pydantic's problem; the value itself may be shown with these
_NUMBERS: Final = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "finite": "a number",
}
_SHAPES: Final = {
    "string": "text",
    "path": "a path",
    "list": "a list, as [a, b]",
    "tuple": "a list, as [a, b]",
    "set": "a list, as [a, b]",
    "frozen": "a list, as [a, b]",
    "dict": "keys with values",
    "mapping": "keys with values",
    "model": "keys with values",
}
_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_QUOTED: Final = re.compile(r"'([^']*)'")
_MOST_SHOWN: Final = 60
_REDACTOR: Final = Redactor()


def nearest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The name that was probably meant; None where none of them is like it."""
    return next(iter(difflib.get_close_matches(word, sorted(known), 1, cutoff)), None)


def place_text(place: Iterable[str | int]) -> str:
    """A place as people write it: `upstreams[0].models`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def wrong_value(problem: Mapping[str, Any]) -> str:
    """What one problem of pydantic's says, to be put behind the name of the value.

    The value is shown where a number or one of a few words is wanted, and where it is like no key.
    """
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    if kind == "missing":
        return "is not given"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"is {_shown(problem)}; write {words} {context[name]:.10g}"
    if kind in ("string_too_short", "too_short"):
        return f"is too short; write {context['min_length']} characters or more"
    if kind == "literal_error":
        return _none_of(problem, _QUOTED.findall(str(context["expected"])))
    first = kind.partition("_")[0]
    if first in _NUMBERS:
        return f"is {_shown(problem)}; write {_NUMBERS[first]}"
    if first in _SHAPES:
        return f"is {_kind_of(problem['input'])}; write {_SHAPES[first]}"
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"cannot be used: {said}"


def _none_of(problem: Mapping[str, Any], words: list[str]) -> str:
    value = problem["input"]
    close = nearest(str(value), words)
    meant = f" (did you mean {close!r}?)" if close else ""
    return f"is {_shown(problem)}; write one of {', '.join(words)}{meant}"


def _shown(problem: Mapping[str, Any]) -> str:
    value = problem["input"]
    text = repr(value)
    if not isinstance(value, (str, int, float, type(None))) or len(text) > _MOST_SHOWN:
        return _kind_of(value)
    data = text.encode("utf-8", "surrogateescape")
    return text if _REDACTOR.is_clean(data) else _kind_of(value)


def _kind_of(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "keys with values"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, (int, float)) else "text"
