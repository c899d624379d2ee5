"""JSON of any values, also of whole numbers that most writers have no room for."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import orjson

from batchata.core.errors import ValidationError
from batchata.core.template import is_missing


def json_bytes(value: Any, option: int | None = None) -> bytes:
    """The value as JSON, with orjson's `OPT_APPEND_NEWLINE` or `OPT_INDENT_2`.

    An answer may have a whole number beyond 64 bits, as a parcel's number is, which orjson refuses.
    """
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        asked = option or 0
        indent = 2 if asked & orjson.OPT_INDENT_2 else None
        between = None if indent else (",", ":")
        said = json.dumps(value, indent=indent, separators=between, default=datetime.isoformat)
        return said.encode() + (b"\n" if asked & orjson.OPT_APPEND_NEWLINE else b"")


def metadata_bytes(metadata: object) -> bytes:
    """A job's metadata as JSON; ValidationError when it cannot be kept.

    Cells of tables are taken as they come: numbers of numpy, times of pandas, and None for NA.
    """
    try:
        return orjson.dumps(metadata, _cell, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise ValidationError(
            f"metadata {metadata!r:.80} cannot be kept: {error}",
            hint="metadata is a mapping of text, numbers, times, lists and mappings",
        ) from error


def _cell(value: Any) -> Any:
    if is_missing(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (Decimal, PurePath)):
        return str(value)
    raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")
