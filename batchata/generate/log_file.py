"""The log of a generation: a file that is rotated, and old ones that are deleted."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler, TimedRotatingFileHandler
from typing import Final

from batchata.core.errors import ValidationError
from batchata.generate.config import LoggingConfig

#: records that only the file gets: people see the same in other ways
RECORD: Final = "batchata.generate.record"
_SIZES: Final = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_TIMES: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
    "year": 365 * 86_400,
}
_AMOUNT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]+?)s?\s*\Z")
_FIELDS: Final = {
    "level": "%(levelname)s",
    "message": "%(message)s",
    "name": "%(name)s",
    "module": "%(module)s",
    "function": "%(funcName)s",
    "file": "%(filename)s",
    "line": "%(lineno)d",
    "process": "%(process)d",
    "thread": "%(thread)d",
}
_FIELD: Final = re.compile(r"\{(\w+)(?:\.\w+)?(?::([^{}]*))?\}")
_TAG: Final = re.compile(r"</?[a-z]*>")
_DATES: Final = (
    ("YYYY", "%Y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
    (".SSS", ""),
)


@contextmanager
def logged(config: LoggingConfig) -> Iterator[None]:
    """Write log records to the config's log file, if it names one."""
    if config.file is None:
        yield
        return
    with _added(_file(config), config):
        yield


@contextmanager
def said_aloud(config: LoggingConfig) -> Iterator[None]:
    """Write log records to stderr, for people."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: record.name != RECORD)
    with _added(handler, config):
        yield


@contextmanager
def _added(handler: logging.Handler, config: LoggingConfig) -> Iterator[None]:
    logger = logging.getLogger("batchata")
    before = logger.level
    handler.setFormatter(formatter(config.format))
    logger.addHandler(handler)
    logger.setLevel(config.level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()


def _file(config: LoggingConfig) -> logging.Handler:
    path = config.file
    if path is None:
        raise ValidationError("logging.file is missing")
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _amount(config.retention, _TIMES)
    if kept is None:
        raise _wrong("retention", config.retention, "7 days")
    size, seconds = _amount(config.rotation, _SIZES), _amount(config.rotation, _TIMES)
    if size is not None:
        return RotatingFileHandler(
            path, maxBytes=size, backupCount=max(1, kept // 86_400), encoding="utf-8"
        )
    if seconds is None:
        raise _wrong("rotation", config.rotation, "1 day or 100 MB")
    return TimedRotatingFileHandler(
        path, when="S", interval=seconds, backupCount=max(1, kept // seconds), encoding="utf-8"
    )


def _amount(text: str, units: dict[str, int]) -> int | None:
    found = _AMOUNT.match(text)
    unit = units.get(found[2].lower()) if found else None
    return None if found is None or unit is None else max(1, int(float(found[1]) * unit))


def _wrong(key: str, value: str, instead: str) -> ValidationError:
    return ValidationError(f"logging.{key} is {value!r}", hint=f"write {instead}")


def formatter(style: str) -> logging.Formatter:
    """A formatter for a style such as `{time:YYYY-MM-DD} | {level} | {message}`."""
    date = "%Y-%m-%d %H:%M:%S"

    def field(found: re.Match[str]) -> str:
        nonlocal date
        name, how = found[1], found[2]
        if name == "time":
            for word, code in _DATES if how else ():
                how = how.replace(word, code)
            date = how or date
            return "%(asctime)s"
        return _FIELDS.get(name, "")

    return logging.Formatter(_FIELD.sub(field, _TAG.sub("", style)), date)
