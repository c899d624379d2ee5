"""Field paths as a model writes them: "items[0].price", "Items 0 price", "vendor name"."""

from __future__ import annotations

import re
from typing import Final

from batchata.core.citing.field_shape import FieldShape
from batchata.core.citing.plain import plain

Path = tuple[str | int, ...]
_PARTS: Final = re.compile(r"\[\s*(\d{1,4})\s*\]|\.(\d{1,4})(?=\.|$)|\[\s*\]|([^.\[\]]+)")
_LONGEST: Final = 200


def parse_path(label: str, root: FieldShape, start: Path = ()) -> Path | None:
    """The path of the field that `label` names below `start`; None when it names none."""
    label = label.strip(" *_`\"'#>")
    if not label or len(label) > _LONGEST:
        return None
    shape = field_shape(root, start)
    path: list[str | int] = list(start)
    for found in _PARTS.finditer(label):
        if shape is None:
            return None
        index = found.group(1) or found.group(2)
        if index is not None or found.group(3) is None:
            shape = shape.item
            path.append(int(index or 0))
            continue
        name = _name(found.group(3), shape)
        if name is None:
            return None
        shape = field_shape(shape, (name,))
        path.append(name)
    return tuple(path) if shape is not None and len(path) > len(start) else None


def field_shape(root: FieldShape, path: Path) -> FieldShape | None:
    """The shape of the field at `path`; None when there is none."""
    shape: FieldShape | None = root
    for part in path:
        if shape is None:
            return None
        named = None if isinstance(part, int) else shape.fields.get(part) or shape.rest
        shape = shape.item if isinstance(part, int) else named
    return shape


def _name(said: str, shape: FieldShape) -> str | None:
    fields = shape.fields
    if said in fields:
        return said
    folded = fold(said)
    for name in fields:
        if fold(name) == folded:
            return name
    if shape.rest is not None and re.fullmatch(r"\S{1,60}", said.strip()):
        return said.strip()
    return None


def fold(name: str) -> str:
    """A field's name without case, spaces and marks."""
    return re.sub(r"[\s_\-]+", "", plain(name))
