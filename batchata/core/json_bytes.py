"""JSON of any values, also of whole numbers that most writers have no room for."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import orjson


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
