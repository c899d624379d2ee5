"""Does a request body fit an SDK's own TypedDict, to the last nested key?"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, Required, Union

from typing_extensions import get_type_hints, is_typeddict

_WRAPPERS = (Annotated, Required, NotRequired)
_MAPPINGS = (dict, collections.abc.Mapping)
_LISTS = (list, collections.abc.Iterable, collections.abc.Sequence, tuple)


def misfits(value: Any, hint: Any, path: str = "body") -> Iterator[str]:
    """Places where a JSON value does not fit a type: unknown and missing keys, wrong kinds."""
    hint = _bare(hint)
    origin = typing.get_origin(hint)
    if hint in (object, Any):
        return
    if is_typeddict(hint):
        yield from _typeddict_misfits(value, hint, path)
    elif origin in (Union, types.UnionType):
        yield from min(([*misfits(value, each, path)] for each in typing.get_args(hint)), key=len)
    elif origin is Literal:
        if value not in typing.get_args(hint):
            yield f"{path}: {value!r:.60} is none of {typing.get_args(hint)}"
    elif origin in _LISTS or origin in _MAPPINGS:
        yield from _container_misfits(value, hint, path)
    elif not _is_kind(value, hint):
        yield f"{path}: {value!r:.60} is no {hint}"


def _container_misfits(value: Any, hint: Any, path: str) -> Iterator[str]:
    inside = typing.get_args(hint)[-1 if typing.get_origin(hint) in _MAPPINGS else 0]
    kind = dict if typing.get_origin(hint) in _MAPPINGS else list
    if not isinstance(value, kind):
        yield f"{path}: {value!r:.60} is no {kind.__name__}"
        return
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from misfits(each, inside, f"{path}.{name}")


def _typeddict_misfits(value: Any, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: {value!r:.60} is no mapping"
        return
    known = _hints(hint)
    for name in _required(hint) - value.keys():
        yield f"{path}.{name}: missing"
    for name, each in value.items():
        if name in known:
            yield from misfits(each, known[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: unknown to {hint.__name__}"


@cache
def _hints(hint: Any) -> Mapping[str, Any]:
    return get_type_hints(hint, include_extras=True)


def _required(hint: Any) -> set[str]:
    # in modules with string annotations, the class itself does not know
    told = {name: typing.get_origin(each) for name, each in _hints(hint).items()}
    named = {name for name, origin in told.items() if origin is Required}
    return named | {name for name in hint.__required_keys__ if told[name] is not NotRequired}


def _bare(hint: Any) -> Any:
    while typing.get_origin(hint) in _WRAPPERS:
        hint = typing.get_args(hint)[0]
    return hint


def _is_kind(value: Any, hint: Any) -> bool:
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(value, bool) and hint is not bool:
        return False
    return isinstance(hint, type) and isinstance(value, hint)
