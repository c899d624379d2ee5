"""Response models: the user's own code, which may raise whatever it likes, in one place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic import ValidationError as ModelError


class ModelCodeError(Exception):
    """A validator or serializer of a model broke; the message says with what."""


def from_json(model: type[BaseModel], data: bytes) -> BaseModel:
    """JSON as the model's object; ModelError where it does not fit, else ModelCodeError."""
    found: BaseModel = _asked(model.model_validate_json, data)
    return found


def from_values(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    """The same of plain values."""
    found: BaseModel = _asked(model.model_validate, values)
    return found


def plain(value: Any) -> Any:
    """JSON-ready values of a model's object, anything else as it is.

    Where the model's own serializers fail, its fields are taken as they are.
    """
    if not isinstance(value, BaseModel):
        return value
    try:
        return _asked(lambda: value.model_dump(mode="json"))
    except ModelCodeError:
        return json.loads(json.dumps(value, default=_fields_of, skipkeys=True))


def attempted(call: Callable[[], Any], otherwise: Any) -> Any:
    """What a method of an object of the user's returns, `otherwise` where it fails."""
    try:
        return _asked(call)
    except (ModelError, ModelCodeError):
        return otherwise


def _asked(call: Callable[..., Any], *values: Any) -> Any:
    try:
        return call(*values)
    except ModelError:
        raise
    except Exception as error:
        raise ModelCodeError(f"{type(error).__name__}: {error}") from error


def _fields_of(value: object) -> Any:
    return vars(value) if isinstance(value, BaseModel) else str(value)
