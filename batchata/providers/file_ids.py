"""Puts the ids of uploaded files in the place of their markers in requests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def with_file_ids(body: bytes, ids: Mapping[str, str]) -> bytes:
    """`body` with the blocks of marked files naming them by id; `ids` is by marker.

    Marks that are not in `ids` stay. An image in a chat stays too: a chat names none by id.
    """
    return orjson.dumps(_with_ids(orjson.loads(body), ids))


def _with_ids(node: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(node, list):
        return [_with_ids(each, ids) for each in node]
    if not isinstance(node, dict):
        return node
    kind = node.get("type")
    if kind == "base64" and (file_id := ids.get(node.get("data", ""))):
        return {"type": "file", "file_id": file_id}
    if kind == "input_file" and (file_id := _id_of(node.get("file_data"), ids)):
        return {"type": "input_file", "file_id": file_id}
    if kind == "input_image" and (file_id := _id_of(node.get("image_url"), ids)):
        kept = {name: value for name, value in node.items() if name != "image_url"}
        return {**kept, "file_id": file_id}
    if kind == "file" and isinstance(node.get("file"), dict):
        if file_id := _id_of(node["file"].get("file_data"), ids):
            return {"type": "file", "file": {"file_id": file_id}}
        return node
    return {name: _with_ids(each, ids) for name, each in node.items()}


def _id_of(url: Any, ids: Mapping[str, str]) -> str | None:
    """The id of the file that a data URL marks."""
    return ids.get(url.partition(",")[2]) if isinstance(url, str) else None
