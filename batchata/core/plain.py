"""Objects of the user's own models as plain values."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel


def plain(value: Any) -> Any:
    """JSON-ready values of a model's object, anything else as it is.

    Where the model's own serializers fail, its fields are taken as they are.
    """
    if not isinstance(value, BaseModel):
        return value
    try:
        return value.model_dump(mode="json")
    except Exception:  # noqa: BLE001  whatever the user's serializers raise
        return json.loads(json.dumps(value, default=_fields_of, skipkeys=True))


def _fields_of(value: object) -> Any:
    return vars(value) if isinstance(value, BaseModel) else str(value)
