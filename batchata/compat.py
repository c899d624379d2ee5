"""Small names that earlier releases had and that have no home elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from batchata.core.config import LEVELS
from batchata.core.errors import BatchataError, ValidationError
from batchata.core.model_code import plain


class ParseError(BatchataError):
    """Never raised: an answer that cannot be read fails its job, which says so in its result."""


def get_logger(name: str = "batchata") -> logging.Logger:
    """The standard logger of this name below `batchata`; no handler is added."""
    if name == "batchata" or name.startswith("batchata."):
        return logging.getLogger(name)
    return logging.getLogger(f"batchata.{name}")


def set_log_level(level: str | int) -> None:
    """Level of the `batchata` logger; ValidationError for a word that is no level."""
    if isinstance(level, str):
        if level.lower() not in LEVELS:
            raise ValidationError(
                f"the log level is {level!r}", hint="use 'debug', 'info', 'warn' or 'error'"
            )
        level = LEVELS[level.lower()]
    logging.getLogger("batchata").setLevel(level)


def to_dict(value: Any) -> Any:
    """A job, result, model or dataclass as plain values; anything else as it is."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return plain(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: to_dict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(each) for each in value]
    return value
