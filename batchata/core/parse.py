"""From the text of an answer to a checked value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any, Final

import msgspec
import orjson
from pydantic import BaseModel
from pydantic import ValidationError as ModelError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError

from batchata.core.model_code import ModelCodeError, from_json
from batchata.core.recase import recased
from batchata.core.result import Failure, Reason
from batchata.core.schema_checker import Checker
from batchata.core.schema_violations import shown, violations

_FENCE: Final = "```"
_TAKEN_OFF: Final = "a code fence or a byte order mark around the answer was taken off"
_SHOWN: Final = 3
#: more problems than this are counted, not described: each costs about a kilobyte
_DESCRIBED: Final = 1_000
#: whole numbers that the fast reader would round
_LONG_NUMBER: Final = re.compile(rb"[:\[,-] ?[0-9]{19}")
#: texts that pydantic takes for a float
_NO_NUMBER: Final = re.compile(rb'"[+-]?(?:nan|inf(?:inity)?)"', re.IGNORECASE)


class Parsed(msgspec.Struct, frozen=True):
    """An answer that fits; `json` is its text without white space, no digit of it changed."""

    json: bytes
    value: Any
    #: what was changed to read it; no value but the case of an enum's word
    repairs: tuple[str, ...] = ()

    @property
    def is_repaired(self) -> bool:
        """True when the answer was not to the letter what was asked for."""
        return bool(self.repairs)


def parse_answer(
    text: str,
    *,
    model: type[BaseModel] | None = None,
    schema: Mapping[str, Any] | Checker | None = None,
) -> Parsed | Failure:
    """The value that `text` holds as JSON, checked by `model` or else by `schema`."""
    found = _strict(text)
    repairs: tuple[str, ...] = ()
    if isinstance(found, Failure):
        bare = _bare(text)
        if bare is None:
            return found
        found = _strict(bare)
        if isinstance(found, Failure):
            return found
        text, repairs = bare, (_TAKEN_OFF,)
    compact, value = found
    if model is None and _has_long_number(compact):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return _failure("a number in it is too long")
    parsed = _checked(compact, value, model, schema, repairs)
    if isinstance(parsed, Failure):
        return _in_other_case(text, value, model, schema, repairs) or parsed
    return parsed


def bound_to(model: type[BaseModel], compact: bytes) -> BaseModel | None:
    """Kept JSON as the model's own object; None when its validators refuse it by now."""
    try:
        return from_json(model, compact)
    except (ModelError, ModelCodeError):
        return None


def value_of(compact: bytes) -> Any:
    """The value of kept JSON, as `Parsed` has it; no digit of it changed."""
    return json.loads(compact) if _has_long_number(compact) else orjson.loads(compact)


def _has_long_number(compact: bytes) -> bool:
    return _LONG_NUMBER.search(compact) is not None or compact[:1].isdigit()


def _checked(
    compact: bytes,
    value: Any,
    model: type[BaseModel] | None,
    schema: Mapping[str, Any] | Checker | None,
    repairs: tuple[str, ...],
) -> Parsed | Failure:
    if model is not None:
        return _by_model(compact, model, repairs)
    return _by_schema(compact, value, schema or {}, repairs)


def _in_other_case(
    text: str,
    value: Any,
    model: type[BaseModel] | None,
    schema: Mapping[str, Any] | Checker | None,
    repairs: tuple[str, ...],
) -> Parsed | None:
    """The answer with the words of its enums in the right case, where that makes it fit."""
    whole = schema.schema if isinstance(schema, Checker) else schema
    try:
        if model is not None:
            whole = _schema_of(model)
        found = recased(text, value, whole or {})
        if found is None:
            return None
        compact, changes = found
        parsed = _checked(compact, orjson.loads(compact), model, schema, (*repairs, *changes))
    except (RecursionError, PydanticUserError, PydanticUndefinedAnnotation, ValueError):
        return None  # what was wrong before is told
    return parsed if isinstance(parsed, Parsed) else None


@lru_cache(maxsize=64)
def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _strict(text: str) -> tuple[bytes, Any] | Failure:
    """`text` without white space and its value; a Failure unless it is JSON to the letter."""
    try:
        return msgspec.json.format(text.encode("utf-8"), indent=-1), orjson.loads(text)
    except UnicodeEncodeError:
        return _failure("it holds half of a character")
    except RecursionError:
        return _failure("it is nested too deeply")
    except (msgspec.DecodeError, orjson.JSONDecodeError) as error:
        if not text.strip():
            return _failure("it is empty")
        return _failure(f"it is no JSON: {error}; it begins {text[:60]!r}")


def _bare(text: str) -> str | None:
    """`text` without byte order mark and surrounding code fence, None when it has neither."""
    bare = text.strip().removeprefix("\ufeff").strip()
    if bare.startswith(_FENCE) and bare.endswith(_FENCE) and len(bare) > 2 * len(_FENCE):
        first, _, rest = bare.partition("\n")
        language = first.removeprefix(_FENCE).strip()
        if rest and (not language or language.isalnum()):
            bare = rest.removesuffix(_FENCE)
    return bare if bare != text else None


def _by_model(compact: bytes, model: type[BaseModel], repairs: tuple[str, ...]) -> Parsed | Failure:
    try:
        value = from_json(model, compact)
        if _NO_NUMBER.search(compact) and (path := _no_number_in(value)):
            return _failure(f"{path}: it is not a number, and JSON has no other", model.__name__)
        return Parsed(compact, value, repairs)
    except ModelError as error:
        return _failure(_problems(error), model.__name__)
    except ModelCodeError as error:
        return _failure(f"its validator raised {error}", model.__name__)


def _no_number_in(model: BaseModel) -> str | None:
    """The path of a float that pydantic has made of "NaN" or "Infinity"."""
    stack: list[tuple[str, Any]] = [("", model)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, float) and not isfinite(value):
            return path
        if isinstance(value, BaseModel):
            value = vars(value)
        if isinstance(value, Mapping):
            stack += [
                (f"{path}.{name}" if path else str(name), each) for name, each in value.items()
            ]
        elif isinstance(value, (list, tuple)):
            stack += [(f"{path}[{number}]", each) for number, each in enumerate(value)]
    return None


def _problems(error: ModelError) -> str:
    count = error.error_count()
    if count > _DESCRIBED:
        return f"{count} problems"
    problems = [
        f"{_path(each['loc'])}: {each['msg']:.200} (got {shown(each['input'])})"
        for each in error.errors(include_url=False, include_context=False)[:_SHOWN]
    ]
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return "; ".join(problems) + more


def _by_schema(
    compact: bytes, value: Any, schema: Mapping[str, Any] | Checker, repairs: tuple[str, ...]
) -> Parsed | Failure:
    whole = schema.schema if isinstance(schema, Checker) else schema
    try:
        if isinstance(schema, Checker):
            found = schema.violations(value, most=_SHOWN)
        else:
            found = violations(value, whole, most=_SHOWN)
    except RecursionError:
        return _failure("it is nested too deeply")
    if found:
        return _failure("; ".join(found), str(whole.get("title") or "the schema"))
    return Parsed(compact, value, repairs)


def _failure(what: str, name: str = "") -> Failure:
    start = f"the answer does not fit {name}" if name else "the answer cannot be read"
    return Failure(Reason.INVALID_ANSWER, f"{start}: {what}")


def _path(place: tuple[int | str, ...]) -> str:
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".") or "answer"
