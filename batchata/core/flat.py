"""Whether a response model is flat: fields of plain values and lists of them."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

from batchata.core.errors import ValidationError


def validate_flat_model(model: type[BaseModel]) -> None:
    """Raise ValidationError, naming the field, when a field holds another model."""
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if inner is not None:
            raise ValidationError(
                f"field {name!r} of {model.__name__} holds {inner.__name__}, which is a model",
                hint="use text, numbers, dates, enums and lists of them",
            )


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    found = (_model_in(each) for each in get_args(kind))
    return next((each for each in found if each is not None), None)
