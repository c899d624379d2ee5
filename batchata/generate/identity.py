"""What makes two generations the same: a changed one does not resume the other's work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from batchata.generate.config import Config

#: keys of `data` that determine the rows and columns of the output
_DATA = (
    "output_column",
    "copy_columns",
    "filter_condition",
    "limit",
    "shuffle",
    "shuffle_seed",
)


def identity_of(config: Config, model: str, input_digest: str) -> dict[str, Any]:
    """All that the answers depend on, under the config's own names; no path, address or pace."""
    data = config.data.model_dump(mode="json")
    if not data["shuffle"]:
        data["shuffle_seed"] = None
    said = config.generation.model_dump(mode="json")
    schema = config.generation.response_schema
    if isinstance(schema, Path) and schema.exists():
        said["response_schema"] = hashlib.sha256(schema.read_bytes()).hexdigest()
    found: dict[str, Any] = {"the input file": input_digest, "model.name": model}
    found["data.prompt_template"] = config.data.template
    found.update({f"data.{name}": data[name] for name in _DATA})
    found["model.provider"] = config.model.dialect
    found["model.endpoint"] = config.model.endpoint
    found.update({f"generation.{name}": value for name, value in said.items()})
    return found


def fingerprint(identity: Mapping[str, Any]) -> str:
    """A digest of an identity."""
    said = orjson.dumps(dict(identity), option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first difference, in words."""
    for name in new:
        if old.get(name) != new[name]:
            if name == "the input file":
                return "the input file has changed"
            return f"{name} was {old.get(name)!r:.80} and is {new[name]!r:.80}"
    return "something has changed"
